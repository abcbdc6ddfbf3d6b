/** The linter's rules for text: terms, repeated words, articles, undefined links. */
import type { Root } from 'mdast';
import remarkLintHeadingIncrement from 'remark-lint-heading-increment';
import remarkLintNoEmptyUrl from 'remark-lint-no-empty-url';
import remarkLintNoUndefinedReferences from 'remark-lint-no-undefined-references';
import remarkLintNoUnusedDefinitions from 'remark-lint-no-unused-definitions';
import remarkRetext from 'remark-retext';
import retextEnglish from 'retext-english';
import retextIndefiniteArticle from 'retext-indefinite-article';
import retextRepeatedWords from 'retext-repeated-words';
import { unified } from 'unified';
import { visitParents } from 'unist-util-visit-parents';
import { VFile } from 'vfile';
import type { TextDiagnostic } from '../lessons/diagnostics';

const alerts = ['note', 'tip', 'important', 'warning', 'caution'];

const english = unified().use(retextEnglish).use(retextRepeatedWords).use(retextIndefiniteArticle);

const linter = unified()
  .use(remarkLintHeadingIncrement)
  .use(remarkLintNoEmptyUrl)
  .use(remarkLintNoUndefinedReferences, { allow: alerts.map((kind) => `!${kind}`) })
  .use(remarkLintNoUnusedDefinitions)
  // Its type wants a processor that only parses, but it also runs the transformers of the processor.
  .use(remarkRetext, english as unknown as NonNullable<Parameters<typeof remarkRetext>[0]>)
  .freeze();

/** Runs the linters of the unified collective. */
export async function findInProse(tree: Root, source: string): Promise<TextDiagnostic[]> {
  const file = new VFile(source);
  await linter.run(structuredClone(tree), file);
  return file.messages.map(({ line, reason }) => ({
    line: line ?? 1,
    message: `${reason}.`.replace(/([.!?])\.$/, '$1'),
  }));
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * Finds misspelt terms in a text, outside of code spans.
 * @param terms right spelling by wrong spelling; the wrong spelling matches in any case
 */
export function findTerms(
  text: string,
  firstLine: number,
  terms: Readonly<Record<string, string>>,
): TextDiagnostic[] {
  const prose = text.replace(/`[^`]*`/g, (code) => code.replace(/[^\n]/g, ' '));
  return Object.entries(terms).flatMap(([wrong, right]) => {
    // Part of a path, a name or an address is not a word of the text.
    const pattern = new RegExp(
      `(?<![\\w./@:_-])${escape(wrong).replace(' ', '\\s+')}(?![\\w/_-]|\\.\\w)`,
      'gi',
    );
    return [...prose.matchAll(pattern)].flatMap((match): TextDiagnostic[] => {
      const [found] = match;
      if (found === right || found === capital(right)) return [];
      const line = firstLine + prose.slice(0, match.index).split('\n').length - 1;
      return [{ line, message: `Write “${right}”, not “${found.replace(/\s+/, ' ')}”.` }];
    });
  });
}

/** Finds misspelt terms in a lesson's prose and questions. */
export function findTermsInTree(tree: Root, terms: Readonly<Record<string, string>>): TextDiagnostic[] {
  const diagnostics: TextDiagnostic[] = [];
  visitParents(tree, (node, ancestors) => {
    const line = node.position?.start.line ?? 1;
    if (node.type === 'text') {
      const parent = ancestors.at(-1);
      // The text of an autolink is an address.
      if (parent?.type === 'link' && parent.url.endsWith(node.value)) return;
      diagnostics.push(...findTerms(node.value, line, terms));
    } else if (node.type === 'code' && node.lang === 'quiz') {
      diagnostics.push(...findTerms(node.value, line + 1, terms));
    }
  });
  return diagnostics;
}
