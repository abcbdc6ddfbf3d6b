/**
 * Where a lesson's sections and fences are: the one place that knows, used by the parser (runner, lesson test) and by
 * the page's remark plugin, so that both always mean the same step and the same block.
 */
import { slug } from 'github-slugger';
import { closestMatch } from 'leven';
import type { Code, Heading, Root } from 'mdast';
import { toString } from 'mdast-util-to-string';
import { visit } from 'unist-util-visit';
import { hostNames, type HostName } from '../protocol/hosts';

export const blockKinds = ['run', 'check', 'solve', 'setup', 'value'] as const;
export type BlockKind = (typeof blockKinds)[number];

/** Kinds that a fence names by one word. */
const plainKinds = ['run', 'check', 'solve', 'setup'] as const;
const isPlainKind = (word: string): word is (typeof plainKinds)[number] =>
  plainKinds.some((kind) => kind === word);

/** All that may follow a fence's language. */
const fenceWords = ['run', 'check', 'solve', 'setup', 'value=<name>', 'host=<host>'];

/** What the words after a fence's language say. */
export interface BlockMeta {
  kind: BlockKind;
  host: HostName;
  /** Only of a value block. */
  valueName?: string;
}

/** A fenced code block of a lesson. */
export interface Fence {
  node: Code;
  line: number;
  /** Undefined for plain illustration, and when there are problems. */
  meta: BlockMeta | undefined;
  /** What is wrong with the fence's words: whole sentences. */
  problems: string[];
}

/** A heading of level 2 and all that follows it up to the next. */
export interface Section {
  heading: Heading;
  /** Slug of the heading. */
  id: string;
  title: string;
  line: number;
  /** The section's nodes are `tree.children.slice(from, to)`, the heading first. */
  from: number;
  to: number;
  fences: Fence[];
  /** Whether the section holds blocks of a step, broken ones included; a setup block makes no step. */
  isStep: boolean;
}

/** Letters, digits and dashes, so that `<name>` cannot be mistaken for a shell redirection with a path in it. */
const valueNamePattern = /^[a-z][a-z0-9-]*$/;

/**
 * Says what an author probably meant by an unknown word, or lists what there is.
 * Two edits make a transposition or two slips; words farther away are rarely what was meant.
 */
export function suggest(word: string, known: readonly string[]): string {
  const closest = closestMatch(word, known, { maxDistance: 2 });
  return closest === undefined ? `Known are: ${known.join(', ')}.` : `Did you mean \`${closest}\`?`;
}

function readFence(node: Code): Fence {
  const line = node.position?.start.line ?? 1;
  const words = node.meta?.trim().split(/\s+/).filter(Boolean) ?? [];
  const problems: string[] = [];
  const kinds: BlockKind[] = [];
  const hosts: string[] = [];
  let valueName: string | undefined;

  const language = node.lang ?? '';
  if (/^(run|check|solve|setup|value=.*|host=.*)$/.test(language)) {
    words.unshift(language);
    problems.push(`A block's language is missing before \`${language}\`. Write \`\`\`bash ${language} …`);
  } else if (words.length > 0 && language !== 'bash') {
    problems.push(
      `A block's language is \`bash\`, not \`${language}\`. An illustration has no words after it.`,
    );
  }
  for (const word of words) {
    const equals = word.indexOf('=');
    const key = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? undefined : word.slice(equals + 1);
    if (key === 'host' && value !== undefined) {
      hosts.push(value);
      if (!hostNames.some((name) => name === value)) {
        problems.push(`There is no host \`${value}\`. ${suggest(value, hostNames)}`);
      }
    } else if (key === 'value') {
      kinds.push('value');
      valueName = value ?? '';
      if (!valueNamePattern.test(valueName)) {
        problems.push(
          `\`${valueName}\` is no name for a value. Write value=<name> with small letters, digits and dashes, a letter first.`,
        );
      }
    } else if (isPlainKind(key) && value === undefined) {
      kinds.push(key);
    } else {
      problems.push(`\`${word}\` says nothing to a fence. ${suggest(key, fenceWords)}`);
    }
  }
  const [kind, ...moreKinds] = kinds;
  const [host, ...moreHosts] = hosts;
  if (moreKinds.length > 0) problems.push(`A block is of one kind, not of ${kinds.join(' and ')}. Split it.`);
  if (moreHosts.length > 0)
    problems.push(`A block runs on one host, not on ${hosts.join(' and ')}. Split it.`);
  if (kind !== undefined && host === undefined) {
    problems.push(`A ${kind} block needs a host. Add host=${hostNames.join(' or host=')}.`);
  }
  if (kind === undefined && host !== undefined) {
    problems.push(`A fence with a host needs a kind as well. Add ${plainKinds.join(', ')} or value=<name>.`);
  }
  const knownHost = hostNames.find((name) => name === host);
  const meta =
    problems.length > 0 || kind === undefined || knownHost === undefined
      ? undefined
      : { kind, host: knownHost, ...(valueName === undefined ? {} : { valueName }) };
  return { node, line, meta, problems };
}

const belongsToStep = ({ meta, problems }: Fence): boolean =>
  meta === undefined ? problems.length > 0 : meta.kind !== 'setup';

function fencesIn(nodes: Root['children']): Fence[] {
  const fences: Fence[] = [];
  visit({ type: 'root', children: nodes } satisfies Root, 'code', (node) => {
    fences.push(readFence(node));
  });
  return fences;
}

/** Finds a lesson's sections, and the fences that stand before the first of them. */
export function findSections(tree: Root): { before: Fence[]; sections: Section[] } {
  const starts = tree.children.flatMap((node, index) =>
    node.type === 'heading' && node.depth === 2 ? [{ heading: node, from: index }] : [],
  );
  const sections = starts.map(({ heading, from }, index): Section => {
    const to = starts[index + 1]?.from ?? tree.children.length;
    const title = toString(heading);
    const fences = fencesIn(tree.children.slice(from, to));
    return {
      heading,
      id: slug(title),
      title,
      line: heading.position?.start.line ?? 1,
      from,
      to,
      fences,
      isStep: fences.some(belongsToStep),
    };
  });
  return { before: fencesIn(tree.children.slice(0, starts[0]?.from ?? tree.children.length)), sections };
}
