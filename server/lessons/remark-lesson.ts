/**
 * Remark plugin of the lesson page. It wraps each step in `<Step id title>` (the heading stays its first child) and
 * writes on each block's `code` element what it is: `data-kind`, `data-host`, `data-step`, for a run block `data-block`
 * (its index among the step's run blocks, as in the `run` message), for a value `data-name`. Headings of level 2 get
 * their slug as `id`. It expects a lesson that {@link parseLesson} accepts.
 */
import type { Root, RootContent } from 'mdast';
import type { MdxJsxFlowElement } from 'mdast-util-mdx-jsx';
import { findSections, type Fence, type Section } from './sections';

const attribute = (name: string, value: string): MdxJsxFlowElement['attributes'][number] => ({
  type: 'mdxJsxAttribute',
  name,
  value,
});

/** What stands before the first section is of no step; the page must know it to leave it out. */
function annotateStart(fences: readonly Fence[]): void {
  for (const { node, meta } of fences) {
    if (meta === undefined) continue;
    const host = 'host' in meta ? { dataHost: meta.host } : {};
    node.data = { ...node.data, hProperties: { dataKind: meta.kind, ...host } };
  }
}

function annotate(section: Section): void {
  section.heading.data = { ...section.heading.data, hProperties: { id: section.id } };
  let runs = 0;
  for (const { node, meta } of section.fences) {
    if (meta === undefined) continue;
    const properties: Record<string, string> = {
      dataKind: meta.kind,
      ...('host' in meta ? { dataHost: meta.host } : {}),
      dataStep: section.id,
      ...(meta.kind === 'run' ? { dataBlock: String(runs++) } : {}),
      ...(meta.kind === 'value' ? { dataName: meta.value } : {}),
    };
    node.data = { ...node.data, hProperties: properties };
  }
}

export function remarkLesson(): (tree: Root) => void {
  return (tree) => {
    const { before, sections } = findSections(tree);
    annotateStart(before);
    sections.forEach(annotate);
    const start = tree.children.slice(0, sections[0]?.from ?? tree.children.length);
    tree.children = start.concat(
      sections.flatMap((section): RootContent[] => {
        const children = tree.children.slice(section.from, section.to);
        if (!section.isStep) return children;
        const step: MdxJsxFlowElement = {
          type: 'mdxJsxFlowElement',
          name: 'Step',
          attributes: [attribute('id', section.id), attribute('title', section.title)],
          children: children as MdxJsxFlowElement['children'],
        };
        return [step];
      }),
    );
  };
}
