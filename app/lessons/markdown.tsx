/** Renders Markdown outside a lesson's prose: the texts of its questions. */
import type { Root } from 'hast';
import { toJsxRuntime, type Components } from 'hast-util-to-jsx-runtime';
import { toHast } from 'mdast-util-to-hast';
import { Fragment, type ReactElement } from 'react';
import { jsx, jsxs } from 'react/jsx-runtime';
import remarkGfm from 'remark-gfm';
import remarkParse from 'remark-parse';
import { unified } from 'unified';

const parser = unified().use(remarkParse).use(remarkGfm);

/** Renders Markdown. A single paragraph loses its `p`, because a label may contain it. */
export function Markdown({
  children: text,
  components,
}: {
  children: string;
  components: Partial<Components>;
}): ReactElement {
  const tree = toHast(parser.parse(text)) as Root;
  const [only] = tree.children;
  const isParagraph = tree.children.length === 1 && only?.type === 'element' && only.tagName === 'p';
  const content: Root = isParagraph ? { type: 'root', children: only.children } : tree;
  return toJsxRuntime(content, { Fragment, jsx, jsxs, components }) as ReactElement;
}
