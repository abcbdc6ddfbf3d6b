/** Remark plugins of the lesson page. They replace blocks and steps in the prose with references to the parsed lesson. */
import type { Node, Root, RootContent } from 'mdast';
import type { MdxJsxFlowElement } from 'mdast-util-mdx-jsx';
import remarkGfm from 'remark-gfm';
import { remarkAlert } from 'remark-github-blockquote-alert';
import type { PluggableList } from 'unified';
import { SKIP, visit } from 'unist-util-visit';
import type { LessonBlock, LessonDocument } from './lesson';

/** Kinds that the page shows elsewhere or nowhere: a step shows its checks, a command its output. */
const hiddenKinds: readonly LessonBlock['kind'][] = ['check', 'setup', 'value', 'output'];

type Attribute = MdxJsxFlowElement['attributes'][number];

const stringAttribute = (name: string, value: string): Attribute => ({
  type: 'mdxJsxAttribute',
  name,
  value,
});

/** `name={value}`; MDX compiles the estree and ignores the text. */
const numberAttribute = (name: string, value: number): Attribute => ({
  type: 'mdxJsxAttribute',
  name,
  value: {
    type: 'mdxJsxAttributeValueExpression',
    value: String(value),
    data: {
      estree: {
        type: 'Program',
        sourceType: 'module',
        comments: [],
        body: [{ type: 'ExpressionStatement', expression: { type: 'Literal', value } }],
      },
    },
  },
});

const element = (
  name: string,
  attribute: Attribute,
  children: readonly RootContent[] = [],
): MdxJsxFlowElement => ({
  type: 'mdxJsxFlowElement',
  name,
  attributes: [attribute],
  children: children as MdxJsxFlowElement['children'],
});

/**
 * Replaces each block's fence with its reference.
 * @returns the references that the page shows nothing for
 * @throws Error when a block is not in the tree, because the prose belongs to another lesson
 */
function placeBlocks(tree: Root, blocks: readonly LessonBlock[]): Set<Node> {
  const missing = new Map(blocks.map((block, index) => [block.line, { ...block, index }]));
  const hidden = new Set<Node>();
  visit(tree, 'code', (node, position, parent) => {
    const line = node.position?.start.line ?? 0;
    const block = missing.get(line);
    if (block === undefined || position === undefined || parent === undefined) return;
    missing.delete(line);
    const reference = element('Block', numberAttribute('index', block.index));
    if (hiddenKinds.includes(block.kind)) hidden.add(reference);
    parent.children.splice(position, 1, reference as (typeof parent.children)[number]);
  });
  const [line] = missing.keys();
  if (line !== undefined) throw new Error(`The prose has no block in line ${line}.`);
  return hidden;
}

/** `<summary>` alone, or in a paragraph of its own. */
const isSummary = (node: {
  type: string;
  name?: string | null;
  children?: readonly { type: string }[];
}): boolean =>
  node.name === 'summary' ||
  (node.type === 'paragraph' && node.children?.length === 1 && node.children.every(isSummary));

/** Removes `<details>` that contain only a summary and hidden blocks. */
function removeEmptyDetails(tree: Root, hidden: ReadonlySet<Node>): void {
  visit(tree, 'mdxJsxFlowElement', (node, index, parent) => {
    if (node.name !== 'details' || index === undefined || parent === undefined) return undefined;
    const content = node.children.filter((child) => !isSummary(child));
    if (content.length === 0 || !content.every((child) => hidden.has(child))) return undefined;
    parent.children.splice(index, 1);
    return [SKIP, index];
  });
}

/** Gives each heading of level 2 its section's id, and wraps each section that is a step. */
function placeSections(tree: Root, { sections }: LessonDocument): void {
  const children: RootContent[] = [];
  let open = children;
  for (const node of tree.children) {
    const section =
      node.type === 'heading' && node.depth === 2
        ? sections.find(({ line }) => line === node.position?.start.line)
        : undefined;
    if (section) {
      node.data = { ...node.data, hProperties: { id: section.id } };
      open = children;
      if (section.isStep) {
        const step = element('Step', stringAttribute('id', section.id));
        children.push(step);
        open = step.children;
      }
    }
    open.push(node);
  }
  tree.children = children;
}

function remarkLesson(document: LessonDocument): (tree: Root) => void {
  return (tree) => {
    removeEmptyDetails(tree, placeBlocks(tree, document.blocks));
    placeSections(tree, document);
  };
}

/**
 * Plugins that compile {@link LessonDocument.prose}. The components see:
 *
 * - `<Block index>` for each block, its index in {@link LessonDocument.blocks};
 * - `<Step id>` around each step, the step's heading first. Each heading of level 2 has its section's id;
 * - no `<details>` without content that the page shows.
 */
export const lessonPlugins = (document: LessonDocument): PluggableList => [
  remarkGfm,
  [remarkLesson, document],
  remarkAlert,
];
