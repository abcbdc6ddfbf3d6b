import type { Root, Yaml } from 'mdast';
import remarkFrontmatter from 'remark-frontmatter';
import remarkMdx from 'remark-mdx';
import remarkParse from 'remark-parse';
import { unified } from 'unified';
import { VFileMessage } from 'vfile-message';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { LabError } from '../protocol/errors';
import { splitAtValues } from './fill';
import {
  frontMatterSchema,
  type Block,
  type FrontMatter,
  type Lesson,
  type Step,
  type Value,
} from './lesson';
import { findSections, suggest, type Fence, type Section } from './sections';

interface Defect {
  line: number;
  text: string;
}

type Report = (line: number, text: string) => void;

const processor = unified().use(remarkParse).use(remarkFrontmatter).use(remarkMdx);

const fieldNames = Object.keys(frontMatterSchema.shape);

const badLesson = (file: string, defects: readonly Defect[], cause?: unknown): LabError =>
  new LabError(
    'bad-lesson',
    defects
      .toSorted((one, other) => one.line - other.line)
      .map(({ line, text }) => `${file}:${line}: ${text}`)
      .join('\n'),
    { hint: 'Correct the lines named; server/lessons/lesson.ts says what a lesson may hold.', cause },
  );

function readFrontMatter(node: Yaml, report: Report): FrontMatter | undefined {
  const lineCounter = new LineCounter();
  const document = parseDocument(node.value, { lineCounter });
  const firstLine = node.position?.start.line ?? 1;
  // The text of a front matter starts in the line after its `---`.
  const fileLine = (yamlLine: number): number => firstLine + yamlLine;
  if (document.errors.length > 0) {
    for (const error of document.errors) {
      const reason = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
      report(fileLine(error.linePos?.[0].line ?? 1), `The front matter is no valid YAML: ${reason}.`);
    }
    return undefined;
  }
  const parsed = frontMatterSchema.safeParse(document.toJS() ?? {});
  if (parsed.success) return parsed.data;

  const keyLine = (name: string): number | undefined => {
    const pairs = isMap(document.contents) ? document.contents.items : [];
    const key = pairs.map((pair) => pair.key).find((found) => isScalar(found) && found.value === name);
    return isScalar(key) ? fileLine(lineCounter.linePos(key.range[0]).line) : undefined;
  };
  for (const issue of parsed.error.issues) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        report(
          keyLine(key) ?? firstLine,
          `The front matter has no field \`${key}\`. ${suggest(key, fieldNames)}`,
        );
      }
      continue;
    }
    const name = String(issue.path[0] ?? '');
    const line = keyLine(name);
    const field = Object.entries(frontMatterSchema.shape).find(([key]) => key === name)?.[1];
    const meaning = field?.description === undefined ? '' : ` (${field.description})`;
    if (name === '') report(firstLine, `The front matter must hold the fields ${fieldNames.join(', ')}.`);
    else if (line === undefined) report(firstLine, `The front matter lacks \`${name}\`${meaning}. Add it.`);
    else report(line, `The front matter's \`${name}\`${meaning} is wrong: ${issue.message}.`);
  }
  return undefined;
}

/** One click types one command: lines that go on, each ended by a backslash, and a last one that does not. */
function isOneCommand(text: string): boolean {
  const lines = text.split('\n');
  return lines.every((line, index) => line.endsWith('\\') === index < lines.length - 1);
}

function readBlock(fence: Fence, report: Report): Block | undefined {
  const { node, line, meta, problems } = fence;
  for (const problem of problems) report(line, problem);
  if (meta === undefined) return undefined;
  const text = node.value.replace(/\s+$/, '');
  if (text === '') report(line, `A ${meta.kind} block is empty. Fill it or remove it.`);
  else if (meta.kind === 'run' && !isOneCommand(text)) {
    report(
      line,
      'A run block is one command, whose lines all end in a backslash but the last. Give each command a block.',
    );
  }
  return { host: meta.host, text, line };
}

function readStep(section: Section, report: Report): { step: Step; values: Value[] } {
  const { id, title, line } = section;
  const step: Step = { id, title, line, runs: [], checks: [], solves: [] };
  const values: Value[] = [];
  let broken = false;
  for (const fence of section.fences) {
    if (fence.meta?.kind === 'setup') continue;
    const block = readBlock(fence, report);
    if (fence.problems.length > 0) broken = true;
    if (block === undefined || fence.meta === undefined) continue;
    if (fence.meta.kind === 'run') step.runs.push(block);
    else if (fence.meta.kind === 'check') step.checks.push(block);
    else if (fence.meta.kind === 'solve') step.solves.push(block);
    else values.push({ ...block, name: fence.meta.valueName ?? '' });
  }
  // A fence that could not be read may be the one that is missed here.
  if (!broken && step.checks.length === 0) {
    report(
      line,
      `The step \`${title}\` has no check. Add a check block that fails before it and passes after.`,
    );
  }
  if (!broken && step.checks.length > 0 && step.runs.length + step.solves.length === 0) {
    report(
      line,
      `The step \`${title}\` has a check and nothing that makes it pass. Add a run or a solve block.`,
    );
  }
  return { step, values };
}

function reportDoubles<T extends { line: number }>(
  things: readonly T[],
  key: (thing: T) => string,
  say: (name: string, firstLine: number) => string,
  report: Report,
): void {
  const first = new Map<string, number>();
  for (const thing of things) {
    const name = key(thing);
    const line = first.get(name);
    if (line === undefined) first.set(name, thing.line);
    else report(thing.line, say(name, line));
  }
}

/**
 * Reads one lesson.
 * @param source text of its lesson.mdx
 * @param file the file's path as it shall stand in errors
 * @param id name of the lesson's folder
 * @throws LabError `bad-lesson` with all defects, one a line: `file:line: what is wrong and what to do`
 */
export function parseLesson(source: string, file: string, id: string): Lesson {
  const defects: Defect[] = [];
  const report: Report = (line, text) => defects.push({ line, text });

  let tree: Root;
  try {
    tree = processor.parse(source);
  } catch (cause) {
    if (!(cause instanceof VFileMessage)) throw cause;
    const line = cause.line ?? 1;
    const text = `The MDX is broken at column ${cause.column ?? 1}: ${cause.reason}. A \`{\` or \`<\` that is text belongs in a code span.`;
    throw badLesson(file, [{ line, text }], cause);
  }

  const yaml = tree.children.find((node) => node.type === 'yaml');
  if (yaml === undefined)
    report(1, `The front matter is missing. Start with ---, ${fieldNames.join(', ')}, ---.`);
  const frontMatter = yaml === undefined ? undefined : readFrontMatter(yaml, report);

  const { before, sections } = findSections(tree);
  for (const fence of before) {
    for (const problem of fence.problems) report(fence.line, problem);
    if (fence.meta !== undefined && fence.meta.kind !== 'setup') {
      report(fence.line, `A ${fence.meta.kind} block stands before the first \`##\`. Put it into a section.`);
    }
  }
  const stepSections = sections.filter((section) => section.isStep);
  const read = stepSections.map((section) => readStep(section, report));
  const setups = [...before, ...sections.flatMap((section) => section.fences)].flatMap((fence) => {
    if (fence.meta?.kind !== 'setup') return [];
    return readBlock(fence, report) ?? [];
  });
  const steps = read.map(({ step }) => step);
  const values = read.flatMap((step) => step.values);

  if (steps.length === 0)
    report(1, 'The lesson has no step: no `##` section holds a run or a solve block with a check.');
  reportDoubles(
    sections,
    (section) => section.id,
    (name, first) => `Two headings give the id \`${name}\`: lines ${first} and this one. Rename one of them.`,
    report,
  );
  reportDoubles(
    values,
    (value) => value.name,
    (name, first) =>
      `The value \`${name}\` is declared in line ${first} already. Rename or remove one of them.`,
    report,
  );
  const runs = steps.flatMap((step) => step.runs);
  for (const { name, line } of values) {
    const used = runs.some((run) => splitAtValues(run.text, [name]).some((part) => 'valueName' in part));
    if (!used) report(line, `No run block uses \`<${name}>\`. Use the value or remove it.`);
  }

  if (defects.length > 0 || frontMatter === undefined) throw badLesson(file, defects);
  return { id, ...frontMatter, steps, values, setups };
}
