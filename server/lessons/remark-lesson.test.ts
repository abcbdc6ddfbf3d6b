import type { Root } from 'mdast';
import { bundleMDX } from 'mdx-bundler';
import { getMDXComponent } from 'mdx-bundler/client';
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import remarkFrontmatter from 'remark-frontmatter';
import remarkMdx from 'remark-mdx';
import remarkParse from 'remark-parse';
import { unified } from 'unified';
import { expect, it } from 'vitest';
import { parseLesson } from './parse';
import { lessonPlugins } from './remark-lesson';

const lines = [
  '---',
  'title: T',
  'summary: S',
  'minutes: 1',
  'part: 1',
  'order: 1',
  'outcomes: [Do it]',
  'sources: [{ name: A, file: f, what: all }]',
  '---',
  'Before.',
  '```bash setup host=source',
  'zero',
  '```',
  '',
  '## Only prose',
  '',
  '## Run `it`',
  '```bash run host=source',
  'one',
  '```',
  '```bash value=name host=destination',
  'two',
  '```',
  '```text',
  'plain',
  '```',
  '```bash run host=destination',
  'three <name>',
  '```',
  '```bash check host=source',
  'four',
  '```',
];
const source = lines.join('\n');
const body = lines.slice(9).join('\n');

it('wraps the steps, and only them, in the order and with the ids of the parser', () => {
  const processor = unified().use(remarkParse).use(remarkMdx).use(lessonPlugins);
  const tree = processor.runSync(processor.parse(body)) as Root;
  expect(tree.children.map((node) => node.type)).toEqual([
    'paragraph',
    'code',
    'heading',
    'mdxJsxFlowElement',
  ]);
  const step = tree.children[3];
  const lesson = parseLesson(source, 'f', 'x');
  expect(step).toMatchObject({
    name: 'Step',
    attributes: [
      { name: 'id', value: lesson.steps[0]?.id },
      { name: 'title', value: lesson.steps[0]?.title },
    ],
    children: [{ type: 'heading' }, ...Array.from({ length: 5 }, () => ({ type: 'code' }))],
  });
});

it('tells the page what each fence is', async () => {
  const { code } = await bundleMDX({
    source,
    mdxOptions: () => ({ remarkPlugins: [remarkFrontmatter, ...lessonPlugins] }),
  });
  const html = renderToStaticMarkup(
    createElement(getMDXComponent(code), { components: { Step: 'section' } }),
  );
  const opened = html.match(/<(section|h2|code)[^>]*>/g);
  expect(opened).toEqual([
    '<code class="language-bash" data-kind="setup" data-host="source">',
    '<h2 id="only-prose">',
    '<section id="run-it" title="Run it">',
    '<h2 id="run-it">',
    '<code>',
    '<code class="language-bash" data-kind="run" data-host="source" data-step="run-it" data-block="0">',
    '<code class="language-bash" data-kind="value" data-host="destination" data-step="run-it">',
    '<code class="language-text">',
    '<code class="language-bash" data-kind="run" data-host="destination" data-step="run-it" data-block="1">',
    '<code class="language-bash" data-kind="check" data-host="source" data-step="run-it">',
  ]);
}, 30_000);

async function htmlOf(markdown: readonly string[]): Promise<string> {
  const { code } = await bundleMDX({
    source: markdown.join('\n'),
    mdxOptions: () => ({ remarkPlugins: [remarkFrontmatter, ...lessonPlugins] }),
  });
  const components = { Step: 'section', Quiz: 'form', QuizPart: 'i' };
  return renderToStaticMarkup(createElement(getMDXComponent(code), { components }));
}

it('leaves out details of which nothing is shown', async () => {
  const details = (summary: string, ...content: string[]): string[] => [
    '',
    '<details>',
    `<summary>${summary}</summary>`,
    '',
    ...content,
    '',
    '</details>',
    '',
  ];
  const html = await htmlOf([
    '## One',
    ...details('Check', '```bash check host=source', 'true', '```'),
    ...details('Solution', 'So.', '', '```bash solve host=source', 'true', '```'),
    ...details('Hint', 'There.'),
  ]);
  expect(html.match(/<summary>\w+/g)).toEqual(['<summary>Solution', '<summary>Hint']);
  expect(html).toContain('data-kind="solve"');
  expect(html).not.toContain('data-kind="check"');
}, 30_000);

it('makes elements of questions, with their Markdown', async () => {
  const html = await htmlOf([
    '```quiz',
    'question: What does `set_tid` set?',
    'options:',
    '  - { text: "The _process ID_", correct: true, explanation: It does. }',
    '  - { text: A < B, explanation: "No. {really}" }',
    '```',
    '',
    '```quiz',
    'question: Why?',
    'answer: |',
    '  One.',
    '',
    '  Two.',
    'accept: [So]',
    'explanation: Because.',
    '```',
  ]);
  expect(html.replaceAll('\n', '')).toBe(
    '<form><i name="question">What does <code>set_tid</code> set?</i>' +
      '<i name="option" correct="true">The <em>process ID</em></i><i name="explanation">It does.</i>' +
      '<i name="option">A &lt; B</i><i name="explanation">No. {really}</i></form>' +
      '<form accept="[&quot;So&quot;]"><i name="question">Why?</i><i name="answer"><p>One.</p><p>Two.</p></i>' +
      '<i name="explanation">Because.</i></form>',
  );
}, 30_000);

it('knows tables and alerts', async () => {
  const html = await htmlOf(['| A |', '| - |', '| 1 |', '', '> [!NOTE]', '> So.']);
  expect(html).toContain('<td>1</td>');
  expect(html).toContain('<div class="markdown-alert markdown-alert-note" dir="auto">');
}, 30_000);
