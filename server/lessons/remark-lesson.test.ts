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
import { remarkLesson } from './remark-lesson';

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
  const tree = unified().use(remarkParse).use(remarkMdx).parse(body);
  remarkLesson()(tree);
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
    mdxOptions: () => ({ remarkPlugins: [remarkFrontmatter, remarkLesson] }),
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
    '<code class="language-bash" data-kind="value" data-host="destination" data-step="run-it" data-name="name">',
    '<code class="language-text">',
    '<code class="language-bash" data-kind="run" data-host="destination" data-step="run-it" data-block="1">',
    '<code class="language-bash" data-kind="check" data-host="source" data-step="run-it">',
  ]);
}, 30_000);
