/** Parses the Markdown of lessons, for the parser and the linter. */
import type { Root } from 'mdast';
import remarkFrontmatter from 'remark-frontmatter';
import remarkGfm from 'remark-gfm';
import remarkMdx from 'remark-mdx';
import remarkParse from 'remark-parse';
import { unified } from 'unified';

const processor = unified().use(remarkParse).use(remarkFrontmatter).use(remarkGfm).use(remarkMdx);

/** @throws VFileMessage with line and column of a syntax error */
export const parseMdx = (source: string): Root => processor.parse(source);
