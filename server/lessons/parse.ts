import type { Root, Yaml } from 'mdast';
import { visit } from 'unist-util-visit';
import { VFileMessage } from 'vfile-message';
import { LabError } from '../protocol/errors';
import { hostNames } from '../protocol/hosts';
import { fieldsOf } from './describe';
import { splitAtValues } from './fill';
import { writeFileScript } from './files';
import {
  frontMatterSchema,
  quizSchema,
  type Block,
  type FrontMatter,
  type Lesson,
  type Quiz,
  type Run,
  type Step,
  type Value,
} from './lesson';
import { findSections, type Fence, type Section } from './sections';
import { suggest } from './suggest';
import { parseMdx } from './syntax';
import { readYaml, type Defect, type Report } from './yaml';

const fieldNames = fieldsOf(frontMatterSchema);

/** One click types one command: lines that go on, each ended by a backslash, and a last one that does not. */
function isOneCommand(text: string): boolean {
  const lines = text.split('\n');
  return lines.every((line, index) => line.endsWith('\\') === index < lines.length - 1);
}

function readText({ node, line, meta }: Fence, report: Report): string {
  const kind = meta?.kind ?? '';
  const text = node.value.replace(/\s+$/, '');
  // A file may be empty.
  if (text === '' && kind !== 'file') report(line, `A ${kind} block is empty. Fill it or remove it.`);
  else if (kind === 'run' && !isOneCommand(text)) {
    report(
      line,
      'A run block is one command, whose lines all end in a backslash but the last. Give each command a block.',
    );
  }
  return text;
}

function readStep(section: Section, report: Report): { step: Step; values: Value[] } {
  const { id, title, line } = section;
  const step: Step = { id, title, line, runs: [], checks: [], solves: [] };
  const values: Value[] = [];
  let broken = false;
  /** The run block that an output block would be of. */
  let last: Run | undefined;
  for (const fence of section.fences) {
    const { meta } = fence;
    for (const problem of fence.problems) report(fence.line, problem);
    if (fence.problems.length > 0) broken = true;
    if (meta === undefined || meta.kind === 'setup' || meta.kind === 'file') continue;
    const text = readText(fence, report);
    if (meta.kind === 'output') {
      if (last === undefined || last.output !== undefined) {
        report(
          fence.line,
          'An output block belongs to the run block before it, and there is none. Move it there.',
        );
      } else last.output = { text, line: fence.line };
      continue;
    }
    last = undefined;
    const block: Block = { host: meta.host, text, line: fence.line };
    if (meta.kind === 'run') {
      const { terminal, exit, background = false, interrupt } = meta;
      last = { ...block, terminal, exit, background, ...(interrupt === undefined ? {} : { interrupt }) };
      step.runs.push(last);
    } else if (meta.kind === 'check') step.checks.push(block);
    else if (meta.kind === 'solve') step.solves.push({ ...block, terminal: meta.terminal });
    else values.push({ ...block, name: meta.value });
  }
  for (const [index, run] of step.runs.entries()) {
    const inTheSame = ({ host, terminal }: Run): boolean => host === run.host && terminal === run.terminal;
    const next = step.runs.slice(index + 1).find(inTheSame);
    if (run.interrupt === true && next) {
      report(
        next.line,
        `The command in line ${run.line} goes on in this terminal until the step is done. Write interrupt=<seconds> there, or use terminal=2 here.`,
      );
    }
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

/** Scripts that make the hosts what they are: setup blocks, and files, each for its host or for both. */
function readSetups(fences: readonly Fence[], report: Report): Pick<Lesson, 'setups' | 'files'> {
  const scripts = fences.flatMap((fence) => {
    const { meta, line } = fence;
    if (meta?.kind !== 'setup' && meta?.kind !== 'file') return [];
    const text = readText(fence, report);
    const script =
      meta.kind === 'file'
        ? writeFileScript({ path: meta.file, text: fence.node.value, executable: meta.executable ?? false })
        : text;
    const hosts = meta.host === 'both' ? hostNames : [meta.host];
    return hosts.map((host): Block => ({ host, text: script, line }));
  });
  // What is set up may need the files.
  const isSetUp = fences.some(({ meta }) => meta?.kind === 'setup');
  return isSetUp ? { setups: scripts, files: [] } : { setups: [], files: scripts };
}

/**
 * Reads a `quiz` fence.
 * @param line of its opening fence
 */
export function readQuiz(text: string, line: number, report: Report): Quiz | undefined {
  return readYaml(text, quizSchema, { openingLine: line, whole: 'The question', report })?.value;
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

/** A lesson's file with all that is wrong in it. */
export interface Reading {
  /** Undefined when there are defects. */
  lesson: Lesson | undefined;
  /** Undefined when the MDX is broken. */
  tree: Root | undefined;
  /** In the order of their lines. */
  defects: Defect[];
  /** The front matter, if it is right, and the line of each of its fields. */
  frontMatter: { value: FrontMatter; lineOf: (path: readonly PropertyKey[]) => number } | undefined;
}

/**
 * Reads one lesson and collects what is wrong.
 * @param source text of its lesson.mdx
 * @param id name of the lesson's folder
 */
export function readLesson(source: string, id: string): Reading {
  const defects: Defect[] = [];
  const report: Report = (line, text) => defects.push({ line, text });

  let tree: Root;
  try {
    tree = parseMdx(source);
  } catch (cause) {
    if (!(cause instanceof VFileMessage)) throw cause;
    const line = cause.line ?? 1;
    const text = `The MDX is broken at column ${cause.column ?? 1}: ${cause.reason}. A \`{\` or \`<\` that is text belongs in a code span.`;
    return { lesson: undefined, tree: undefined, defects: [{ line, text }], frontMatter: undefined };
  }

  const yaml = tree.children.find((node): node is Yaml => node.type === 'yaml');
  if (yaml === undefined)
    report(1, `The front matter is missing. Start with ---, ${fieldNames.join(', ')}, ---.`);
  const frontMatter =
    yaml &&
    readYaml(yaml.value, frontMatterSchema, {
      openingLine: yaml.position?.start.line ?? 1,
      whole: 'The front matter',
      report,
    });

  const { before, sections } = findSections(tree);
  for (const fence of before) {
    for (const problem of fence.problems) report(fence.line, problem);
    if (fence.meta !== undefined && fence.meta.kind !== 'setup' && fence.meta.kind !== 'file') {
      report(fence.line, `A ${fence.meta.kind} block stands before the first \`##\`. Put it into a section.`);
    }
  }
  for (const section of sections) {
    if (section.isStep) continue;
    for (const { meta, line } of section.fences) {
      if (meta?.kind === 'output')
        report(line, 'An output block belongs to the run block before it, and there is none. Move it there.');
    }
  }
  visit(tree, 'code', (node) => {
    if (node.lang === 'quiz') readQuiz(node.value, node.position?.start.line ?? 1, report);
  });
  const read = sections.filter((section) => section.isStep).map((section) => readStep(section, report));
  const made = readSetups([...before, ...sections.flatMap((section) => section.fences)], report);
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
  for (const [slide, ids] of Object.entries(frontMatter?.value.slides ?? {})) {
    for (const stepId of [ids].flat()) {
      if (steps.some((step) => step.id === stepId)) continue;
      const known = steps.map((step) => step.id);
      report(
        frontMatter?.lineOf(['slides', slide]) ?? 1,
        `Slide ${slide} names the step \`${stepId}\`, which the lesson does not have. ${suggest(stepId, known)}`,
      );
    }
  }

  defects.sort((one, other) => one.line - other.line);
  const lesson =
    defects.length > 0 || frontMatter === undefined
      ? undefined
      : { id, ...frontMatter.value, steps, values, ...made };
  return { lesson, tree, defects, frontMatter };
}

/**
 * Reads one lesson.
 * @param source text of its lesson.mdx
 * @param file the file's path as it shall stand in errors
 * @param id name of the lesson's folder
 * @throws LabError `bad-lesson` with all defects, one a line: `file:line: what is wrong and what to do`
 */
export function parseLesson(source: string, file: string, id: string): Lesson {
  const { lesson, defects } = readLesson(source, id);
  if (lesson !== undefined) return lesson;
  throw new LabError('bad-lesson', defects.map(({ line, text }) => `${file}:${line}: ${text}`).join('\n'), {
    hint: 'Correct the lines named; docs/lesson-reference.md says what a lesson may hold.',
  });
}
