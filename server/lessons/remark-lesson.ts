/**
 * Remark plugins of the lesson page. What they leave for its components:
 *
 * - Each step is in `<Step id title>`; its heading stays its first child. Headings of level 2 have their slug as `id`.
 * - Each block's `code` element says what it is: `data-kind`, `data-host`, `data-step`, for a run block `data-block` (its index
 *   among the step's run blocks, as in the `run` message), for a file `data-file`.
 * - Each question is `<Quiz accept>` with a `<QuizPart name>` for the question, each option (`correct`), its explanation, and the
 *   answer and explanation of a question without options.
 * - `<details>` that hold nothing which is shown (a check) are gone.
 *
 * They expect a lesson that {@link parseLesson} accepts.
 */
import type { Code, Paragraph, PhrasingContent, Root, RootContent } from 'mdast';
import type { MdxJsxFlowElement } from 'mdast-util-mdx-jsx';
import remarkGfm from 'remark-gfm';
import { remarkAlert } from 'remark-github-blockquote-alert';
import remarkParse from 'remark-parse';
import { unified, type PluggableList } from 'unified';
import { SKIP, visit } from 'unist-util-visit';
import type { BlockKind, BlockMeta, Quiz } from './lesson';
import { readQuiz } from './parse';
import { findSections, type Fence, type Section } from './sections';

/** Kinds whose block is nowhere on the page, or elsewhere: checks are shown by their step, output by its command. */
const hiddenKinds: readonly BlockKind[] = ['check', 'setup', 'value', 'output'];

type Attribute = MdxJsxFlowElement['attributes'][number];

const attribute = (name: string, value: string): Attribute => ({
  type: 'mdxJsxAttribute',
  name,
  value,
});

const element = (
  name: string,
  attributes: Attribute[],
  children: readonly RootContent[],
): MdxJsxFlowElement => ({
  type: 'mdxJsxFlowElement',
  name,
  attributes,
  children: children as MdxJsxFlowElement['children'],
});

function describe(node: Code, meta: BlockMeta, more: Readonly<Record<string, string>> = {}): void {
  const properties = {
    dataKind: meta.kind,
    ...('host' in meta ? { dataHost: meta.host } : {}),
    ...(meta.kind === 'file' ? { dataFile: meta.file } : {}),
    ...more,
  };
  node.data = { ...node.data, hProperties: properties };
}

/** What stands before the first section is of no step; the page must know it to leave it out. */
function annotateStart(fences: readonly Fence[]): void {
  for (const { node, meta } of fences) if (meta !== undefined) describe(node, meta);
}

function annotate(section: Section): void {
  section.heading.data = { ...section.heading.data, hProperties: { id: section.id } };
  let runs = 0;
  for (const { node, meta } of section.fences) {
    if (meta === undefined) continue;
    describe(node, meta, {
      dataStep: section.id,
      ...(meta.kind === 'run' ? { dataBlock: String(runs++) } : {}),
    });
  }
}

const markdown = unified().use(remarkParse).use(remarkGfm);

/** Markdown of a question; a single paragraph without its `p`, because it may stand in a label. */
function inQuestion(text: string): (RootContent | PhrasingContent)[] {
  const { children } = markdown.parse(text);
  const [only] = children;
  return children.length === 1 && only?.type === 'paragraph' ? (only satisfies Paragraph).children : children;
}

function quizElement(quiz: Quiz): MdxJsxFlowElement {
  const part = (name: string, text: string, ...more: Attribute[]): MdxJsxFlowElement =>
    element('QuizPart', [attribute('name', name), ...more], inQuestion(text));
  const { question, options = [], answer, accept, explanation } = quiz;
  return element('Quiz', accept === undefined ? [] : [attribute('accept', JSON.stringify(accept))], [
    part('question', question),
    ...options.flatMap(({ text, correct, explanation: why }) => [
      part('option', text, ...(correct ? [attribute('correct', 'true')] : [])),
      part('explanation', why),
    ]),
    ...(answer === undefined ? [] : [part('answer', answer)]),
    ...(explanation === undefined ? [] : [part('explanation', explanation)]),
  ]);
}

function placeQuestions(tree: Root): void {
  visit(tree, 'code', (node, index, parent) => {
    if (node.lang !== 'quiz' || index === undefined || parent === undefined) return;
    const quiz = readQuiz(node.value, node.position?.start.line ?? 1, (line, text) => {
      throw new Error(`${line}: ${text}`);
    });
    if (quiz) parent.children.splice(index, 1, quizElement(quiz) as (typeof parent.children)[number]);
  });
}

const isHidden = (node: { type: string }): boolean => {
  if (node.type !== 'code') return false;
  const { data } = node as Code & { data?: { hProperties?: { dataKind?: BlockKind } } };
  return hiddenKinds.some((kind) => kind === data?.hProperties?.dataKind);
};

/** `<summary>` alone, or in a paragraph of its own. */
const isSummary = (node: {
  type: string;
  name?: string | null;
  children?: readonly { type: string }[];
}): boolean =>
  node.name === 'summary' ||
  (node.type === 'paragraph' && node.children?.length === 1 && node.children.every(isSummary));

function removeEmptyDetails(tree: Root): void {
  visit(tree, 'mdxJsxFlowElement', (node, index, parent) => {
    if (node.name !== 'details' || index === undefined || parent === undefined) return undefined;
    const shown = node.children.filter((child) => !isSummary(child) && !isHidden(child));
    if (shown.length > 0 || !node.children.some(isHidden)) return undefined;
    parent.children.splice(index, 1);
    return [SKIP, index];
  });
}

function remarkLesson(): (tree: Root) => void {
  return (tree) => {
    const { before, sections } = findSections(tree);
    annotateStart(before);
    sections.forEach(annotate);
    const start = tree.children.slice(0, sections[0]?.from ?? tree.children.length);
    tree.children = start.concat(
      sections.flatMap((section): RootContent[] => {
        const children = tree.children.slice(section.from, section.to);
        if (!section.isStep) return children;
        return [element('Step', [attribute('id', section.id), attribute('title', section.title)], children)];
      }),
    );
    removeEmptyDetails(tree);
    placeQuestions(tree);
  };
}

/** All that the page's compiler needs to read a lesson, front matter and MDX aside. */
export const lessonPlugins: PluggableList = [remarkGfm, remarkLesson, remarkAlert];
