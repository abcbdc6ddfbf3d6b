/** The Markdown that lessons are written in: the same for the parser, the linter and the page. */
import type { Root } from 'mdast';
import remarkFrontmatter from 'remark-frontmatter';
import remarkGfm from 'remark-gfm';
import remarkMdx from 'remark-mdx';
import remarkParse from 'remark-parse';
import { unified } from 'unified';

const processor = unified().use(remarkParse).use(remarkFrontmatter).use(remarkGfm).use(remarkMdx);

/** @throws VFileMessage with the line and column of MDX that is broken */
export const parseMdx = (source: string): Root => processor.parse(source);
