import type { Root } from 'mdast';
import { bundleMDX } from 'mdx-bundler';
import { getMDXComponent } from 'mdx-bundler/client';
import { createElement, type ReactElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import remarkMdx from 'remark-mdx';
import remarkParse from 'remark-parse';
import { unified } from 'unified';
import { expect, test } from 'vitest';
import type { LessonDocument } from './lesson';
import { parseLesson } from './parse';
import { lessonPlugins } from './remark-lesson';

const frontMatter = [
  '---',
  'title: T',
  'summary: S',
  'minutes: 1',
  'part: 1',
  'order: 1',
  'outcomes: [Do it]',
  'sources: [{ name: A, file: f, what: all }]',
  '---',
];
const lines = [
  ...frontMatter,
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
const parse = (source: readonly string[]): LessonDocument => parseLesson(source.join('\n'), 'f', 'x');

async function htmlOf(document: LessonDocument): Promise<string> {
  const { code } = await bundleMDX({
    source: document.prose,
    mdxOptions: () => ({ remarkPlugins: lessonPlugins(document) }),
  });
  const Block = ({ index }: { index: number }): ReactElement =>
    createElement('hr', { title: document.blocks[index]?.kind });
  const components = { Step: 'section', Block };
  return renderToStaticMarkup(createElement(getMDXComponent(code), { components }));
}

test('wraps only steps, with the order and the ids of the parser', () => {
  const document = parse(lines);
  const processor = unified().use(remarkParse).use(remarkMdx).use(lessonPlugins(document));
  const tree = processor.runSync(processor.parse(document.prose)) as Root;
  expect(tree.children.map((node) => node.type)).toEqual([
    'paragraph',
    'mdxJsxFlowElement',
    'heading',
    'mdxJsxFlowElement',
  ]);
  expect(tree.children[3]).toMatchObject({
    name: 'Step',
    attributes: [{ name: 'id', value: document.lesson.steps[0]?.id }],
    children: [
      { type: 'heading' },
      { name: 'Block' },
      { name: 'Block' },
      { type: 'code' },
      { name: 'Block' },
      { name: 'Block' },
    ],
  });
});

test('replaces each block’s fence with its index, and leaves illustrations', async () => {
  const html = await htmlOf(parse(lines));
  expect(html.match(/<(section|h2|code|hr)[^>]*>/g)).toEqual([
    '<hr title="setup"/>',
    '<h2 id="only-prose">',
    '<section id="run-it">',
    '<h2 id="run-it">',
    '<code>',
    '<hr title="run"/>',
    '<hr title="value"/>',
    '<code class="language-text">',
    '<hr title="run"/>',
    '<hr title="check"/>',
  ]);
}, 30_000);

test('refuses the prose of another lesson', () => {
  const document = parse(lines);
  const processor = unified().use(remarkParse).use(remarkMdx).use(lessonPlugins(document));
  expect(() => processor.runSync(processor.parse(document.prose.replace('one', 'one\n')))).toThrow(
    'The prose has no block in line 21.',
  );
});

test('removes details that show nothing', async () => {
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
  const html = await htmlOf(
    parse([
      ...frontMatter,
      '## One',
      ...details('Check', '```bash check host=source', 'true', '```'),
      ...details('Solution', 'So.', '', '```bash solve host=source', 'true', '```'),
      ...details('Hint', 'There.'),
    ]),
  );
  expect(html.match(/<summary>\w+/g)).toEqual(['<summary>Solution', '<summary>Hint']);
  expect(html).toContain('title="solve"');
  expect(html).not.toContain('title="check"');
}, 30_000);

test('finds questions anywhere in the prose', async () => {
  const quiz = ['```quiz', 'question: What does `set_tid` set?', 'answer: So', 'explanation: x', '```'];
  const html = await htmlOf(parse([...lines, '', ...quiz, '', ...quiz.map((line) => `> ${line}`)]));
  expect(html.match(/<hr title="quiz"\/>/g)).toHaveLength(2);
  expect(html).toMatch(/<blockquote>\s*<hr title="quiz"\/>\s*<\/blockquote>/);
  expect(html).not.toContain('set_tid');
}, 30_000);

test('renders tables and alerts', async () => {
  const html = await htmlOf(parse([...lines, '', '| A |', '| - |', '| 1 |', '', '> [!NOTE]', '> So.']));
  expect(html).toContain('<td>1</td>');
  expect(html).toContain('<div class="markdown-alert markdown-alert-note" dir="auto">');
}, 30_000);
