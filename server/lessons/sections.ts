/** Finds a lesson's sections and fences, and reads the words after each fence's language. */
import { slug } from 'github-slugger';
import type { Code, Root } from 'mdast';
import { toString } from 'mdast-util-to-string';
import { visit } from 'unist-util-visit';
import type { z } from 'zod';
import { hostNames } from '../protocol/hosts';
import { descriptionOf, fieldsOf } from './describe';
import type { ReportDiagnostic } from './diagnostics';
import { blockKinds, blockSchemas, type BlockKind, type BlockMeta, type LessonSection } from './lesson';
import { suggest } from './suggest';

/** Kinds that a fence names with one word. A field names the others. */
const plainKinds = ['run', 'check', 'solve', 'setup', 'output'] as const;
const fieldKinds = ['value', 'file'] as const;

const kindWords = [
  ...plainKinds,
  ...fieldKinds.map((kind) => `${kind}=<${kind === 'file' ? 'path' : 'name'}>`),
];
const allWords = [...new Set([...kindWords, ...blockKinds.flatMap((kind) => fieldsOf(blockSchemas[kind]))])];

/** A fenced code block of a lesson. */
export interface Fence {
  node: Code;
  line: number;
  /** Undefined for plain illustrations and questions, and when the words are wrong. */
  meta: BlockMeta | undefined;
  /** Whether the fence's words are wrong. */
  isBroken: boolean;
}

/** A section with its position in the tree. */
export interface Section extends LessonSection {
  /** The section's nodes are `tree.children.slice(from, to)`, the heading first. */
  from: number;
  to: number;
  fences: Fence[];
}

/** `key=value` is a field, and digits are a number. A word alone is a field that is true. */
function readWord(word: string): [key: string, value: string | number | true] {
  const equals = word.indexOf('=');
  if (equals < 0) return [word, true];
  const value = word.slice(equals + 1);
  return [word.slice(0, equals), /^\d+$/.test(value) ? Number(value) : value];
}

function kindOf(key: string, value: string | number | true): BlockKind | undefined {
  const plain = value === true ? plainKinds.find((kind) => kind === key) : undefined;
  return plain ?? fieldKinds.find((kind) => kind === key);
}

/** In a fence without a language, the first word takes the language's place. */
const looksLikeWord = (language: string): boolean => {
  const [key, value] = readWord(language);
  return kindOf(key, value) !== undefined || (key === 'host' && value !== true);
};

/** The name of a kind of block, for the beginning of a sentence. */
export const blockName = (kind: BlockKind): string => `${kind === 'output' ? 'An' : 'A'} ${kind} block`;

function languageError(language: string, kind: BlockKind | undefined): string | undefined {
  if (kind === 'file') return undefined;
  if (kind === 'output') {
    return language === 'text'
      ? undefined
      : `The language of an output block is \`text\`, not \`${language}\`.`;
  }
  if (language === 'bash') return undefined;
  return `A block's language is \`bash\`, not \`${language}\`. For an illustration, remove the words after the language.`;
}

function fieldErrors(kind: BlockKind, fields: Record<string, unknown>): string[] {
  const schema = blockSchemas[kind];
  const parsed = schema.safeParse(fields);
  if (parsed.success) return [];
  const spell = (key: string): string => `${key}=${String(fields[key])}`;
  return parsed.error.issues.flatMap((issue): string[] => {
    const key = String(issue.path[0] ?? '');
    const field = (schema.shape as Record<string, z.ZodType>)[key];
    const meaning = (field && descriptionOf(field)) ?? '';
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((unknown) => {
        const word = fields[unknown] === true ? unknown : spell(unknown);
        // A field of another kind is not a typo.
        const hint = allWords.includes(unknown)
          ? `Its fields are: ${fieldsOf(schema).join(', ') || 'none'}.`
          : suggest(unknown, [...kindWords, ...fieldsOf(schema)]);
        return `${blockName(kind)} does not accept \`${word}\`. ${hint}`;
      });
    }
    if (key === '') return [`The fields of this ${kind} block contradict each other: ${issue.message}.`];
    if (key === 'host') {
      const known = kind === 'setup' || kind === 'file' ? [...hostNames, 'both'] : hostNames;
      if (typeof fields['host'] === 'string')
        return [`There is no host \`${fields['host']}\`. ${suggest(fields['host'], known)}`];
      return [`${blockName(kind)} needs a host. Add host=${known.join(' or host=')}.`];
    }
    return [`\`${fields[key] === true ? key : spell(key)}\` (${meaning}) is wrong: ${issue.message}.`];
  });
}

function readFence(node: Code, report: ReportDiagnostic): Fence {
  const line = node.position?.start.line ?? 1;
  const language = node.lang ?? '';
  const words = node.meta?.trim().split(/\s+/).filter(Boolean) ?? [];
  const errors: string[] = [];
  /** Returns the fence without words, and reports the errors. */
  const withoutMeta = (): Fence => {
    for (const error of errors) report(line, error);
    return { node, line, meta: undefined, isBroken: errors.length > 0 };
  };

  if (looksLikeWord(language)) {
    words.unshift(language);
    errors.push(`The fence has no language before \`${language}\`. Write \`\`\`bash ${language} …`);
  }
  if (words.length === 0) return withoutMeta();
  const fields: Record<string, unknown> = {};
  const kinds: BlockKind[] = [];
  const unknown: string[] = [];
  for (const word of words) {
    const [key, value] = readWord(word);
    const kind = kindOf(key, value);
    if (kind !== undefined) kinds.push(kind);
    if (plainKinds.some((plain) => plain === kind)) continue;
    if (Object.hasOwn(fields, key)) {
      errors.push(
        key === 'host'
          ? `A block runs on one host, not on ${String(fields[key])} and ${String(value)}. Split it.`
          : `\`${key}\` appears twice. Remove one of them.`,
      );
      continue;
    }
    fields[key] = value;
    if (!allWords.includes(key)) unknown.push(word);
  }
  const [kind, ...moreKinds] = kinds;
  if (errors.length === 0) {
    const error = languageError(language, kind);
    if (error !== undefined) errors.push(error);
  }
  if (moreKinds.length > 0) {
    errors.push(`A block has one kind, not ${kinds.join(' and ')}. Split it.`);
    return withoutMeta();
  }
  if (kind === undefined) {
    for (const word of unknown) {
      errors.push(`A fence does not accept \`${word}\`. ${suggest(readWord(word)[0], allWords)}`);
    }
    if (unknown.length < words.length)
      errors.push(
        `A fence with \`${words.find((word) => !unknown.includes(word)) ?? ''}\` also needs a kind. Add ${kindWords.join(' or ')}.`,
      );
    return withoutMeta();
  }
  errors.push(...fieldErrors(kind, fields));
  if (errors.length > 0) return withoutMeta();
  const meta = { kind, ...blockSchemas[kind].parse(fields) } as BlockMeta;
  return { node, line, meta, isBroken: false };
}

const belongsToStep = ({ meta, isBroken }: Fence): boolean =>
  meta === undefined ? isBroken : !['setup', 'file', 'output'].includes(meta.kind);

function fencesIn(nodes: Root['children'], report: ReportDiagnostic): Fence[] {
  const fences: Fence[] = [];
  visit({ type: 'root', children: nodes } satisfies Root, 'code', (node) => {
    fences.push(readFence(node, report));
  });
  return fences;
}

/** Finds a lesson's sections, and the fences before the first one. */
export function findSections(tree: Root, report: ReportDiagnostic): { before: Fence[]; sections: Section[] } {
  const starts = tree.children.flatMap((node, index) =>
    node.type === 'heading' && node.depth === 2 ? [{ heading: node, from: index }] : [],
  );
  const sections = starts.map(({ heading, from }, index): Section => {
    const to = starts[index + 1]?.from ?? tree.children.length;
    const title = toString(heading);
    const fences = fencesIn(tree.children.slice(from, to), report);
    return {
      id: slug(title),
      title,
      line: heading.position?.start.line ?? 1,
      from,
      to,
      fences,
      isStep: fences.some(belongsToStep),
    };
  });
  const before = fencesIn(tree.children.slice(0, starts[0]?.from ?? tree.children.length), report);
  return { before, sections };
}
