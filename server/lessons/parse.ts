/** Reads lesson.mdx once, for the programs, the page and the linter. */
import type { Root, Yaml } from 'mdast';
import { VFileMessage } from 'vfile-message';
import { LabError } from '../protocol/errors';
import { hostNames } from '../protocol/hosts';
import { fieldsOf } from './describe';
import { diagnosticsInto, type Diagnostic, type ReportDiagnostic } from './diagnostics';
import { writeFileScript } from './files';
import { splitAtValues } from './fill';
import {
  frontMatterSchema,
  quizSchema,
  type Block,
  type BlockKind,
  type FrontMatter,
  type Lesson,
  type LessonBlock,
  type LessonDocument,
  type LessonSection,
  type Run,
  type Step,
} from './lesson';
import { blockName, findSections, type Fence, type Section } from './sections';
import { suggest } from './suggest';
import { parseMdx } from './syntax';
import { readYaml } from './yaml';

const fieldNames = fieldsOf(frontMatterSchema);

/** Whether the text is one command: all its lines but the last end in a backslash. */
function isOneCommand(text: string): boolean {
  const lines = text.split('\n');
  return lines.every((line, index) => line.endsWith('\\') === index < lines.length - 1);
}

/** The text of a block, without white space at its end. */
function readText({ node, line }: Fence, kind: BlockKind, report: ReportDiagnostic): string {
  const text = node.value.replace(/\s+$/, '');
  if (text === '') report(line, `${blockName(kind)} is empty. Fill it or remove it.`);
  else if (kind === 'run' && !isOneCommand(text)) {
    report(
      line,
      'A run block holds one command: every line but the last ends in a backslash. Give each command its own block.',
    );
  }
  return text;
}

/**
 * Reads the fences of one section.
 * @param section undefined for the blocks before the first section
 */
function readBlocks(
  fences: readonly Fence[],
  section: LessonSection | undefined,
  report: ReportDiagnostic,
): LessonBlock[] {
  const blocks: LessonBlock[] = [];
  let runIndex = 0;
  /** The run block to which an output block would belong. */
  let lastRun: Run | undefined;
  for (const fence of fences) {
    const { node, line, meta } = fence;
    if (node.lang === 'quiz') {
      const quiz = readYaml(node.value, quizSchema, { openingLine: line, whole: 'The question', report });
      if (quiz) blocks.push({ kind: 'quiz', line, quiz: quiz.value });
    }
    if (meta === undefined) continue;
    if (meta.kind === 'file') {
      const { host, file: path, executable = false } = meta;
      blocks.push({ kind: 'file', line, host, file: { path, text: node.value, executable } });
      continue;
    }
    if (meta.kind === 'setup') {
      blocks.push({ kind: 'setup', line, host: meta.host, script: readText(fence, 'setup', report) });
      continue;
    }
    if (section === undefined) {
      report(line, `${blockName(meta.kind)} must not stand before the first \`##\`. Move it into a section.`);
      continue;
    }
    const text = readText(fence, meta.kind, report);
    if (meta.kind === 'output') {
      if (lastRun === undefined || lastRun.output !== undefined) {
        report(line, 'Each output block follows a run block of its own. Move it there or remove it.');
      } else lastRun.output = { text, line };
      blocks.push({ kind: 'output', line });
      continue;
    }
    lastRun = undefined;
    const stepId = section.id;
    const block: Block = { host: meta.host, text, line };
    switch (meta.kind) {
      case 'run': {
        const { terminal, exit, background = false, interrupt } = meta;
        const run: Run = { ...block, terminal, exit, background };
        if (interrupt !== undefined) run.interrupt = interrupt;
        blocks.push({ kind: 'run', line, stepId, runIndex: runIndex++, run });
        lastRun = run;
        break;
      }
      case 'check':
        blocks.push({ kind: 'check', line, stepId, check: block });
        break;
      case 'solve':
        blocks.push({ kind: 'solve', line, stepId, solve: { ...block, terminal: meta.terminal } });
        break;
      case 'value':
        blocks.push({ kind: 'value', line, stepId, value: { ...block, name: meta.value } });
        break;
    }
  }
  return blocks;
}

function stepOf(section: Section, blocks: readonly LessonBlock[], report: ReportDiagnostic): Step {
  const { id, title, line } = section;
  const step: Step = {
    id,
    title,
    line,
    runs: blocks.flatMap((block) => (block.kind === 'run' ? [block.run] : [])),
    checks: blocks.flatMap((block) => (block.kind === 'check' ? [block.check] : [])),
    solves: blocks.flatMap((block) => (block.kind === 'solve' ? [block.solve] : [])),
  };
  for (const [index, run] of step.runs.entries()) {
    const inTheSame = ({ host, terminal }: Run): boolean => host === run.host && terminal === run.terminal;
    const next = step.runs.slice(index + 1).find(inTheSame);
    if (run.interrupt === true && next) {
      report(
        next.line,
        `The command in line ${run.line} occupies this terminal until the step is done. Write interrupt=<seconds> there, or use terminal=2 here.`,
      );
    }
  }
  // The missing block may be a fence that could not be read.
  if (section.fences.some(({ isBroken }) => isBroken)) return step;
  if (step.checks.length === 0) {
    report(
      line,
      `The step \`${title}\` has no check. Add a check block that fails before the step and passes after it.`,
    );
  } else if (step.runs.length + step.solves.length === 0) {
    report(
      line,
      `The step \`${title}\` has a check but nothing that makes it pass. Add a run or a solve block.`,
    );
  }
  return step;
}

/** Scripts that prepare the hosts: a script for each host of each setup and file block, in the file's order. */
function preparationOf(blocks: readonly LessonBlock[]): Pick<Lesson, 'setups' | 'files'> {
  const scripts = blocks.flatMap((block): Block[] => {
    if (block.kind !== 'setup' && block.kind !== 'file') return [];
    const { host, line } = block;
    const text = block.kind === 'file' ? writeFileScript(block.file) : block.script;
    return (host === 'both' ? hostNames : [host]).map((one) => ({ host: one, text, line }));
  });
  // A setup script may need the files, so a lesson with set-up writes its files in the same order.
  const hasSetup = blocks.some(({ kind }) => kind === 'setup');
  return hasSetup ? { setups: scripts, files: [] } : { setups: [], files: scripts };
}

function reportDoubles<T extends { line: number }>(
  things: readonly T[],
  key: (thing: T) => string,
  say: (name: string, firstLine: number) => string,
  report: ReportDiagnostic,
): void {
  const first = new Map<string, number>();
  for (const thing of things) {
    const name = key(thing);
    const line = first.get(name);
    if (line === undefined) first.set(name, thing.line);
    else report(thing.line, say(name, line));
  }
}

/** The source with a blank line for each line of the front matter. */
function withoutFrontMatter(source: string, yaml: Yaml | undefined): string {
  const end = yaml?.position?.end.offset ?? 0;
  return source.slice(0, end).replace(/[^\n]/g, '') + source.slice(end);
}

/** The content of a lesson's file, as far as it could be read. */
export interface Reading {
  /** Undefined when there is a diagnostic. */
  document: LessonDocument | undefined;
  /** Undefined when the MDX is broken. */
  tree: Root | undefined;
  /** Empty when the MDX is broken. */
  sections: readonly Section[];
  /** The blocks without errors. */
  blocks: readonly LessonBlock[];
  /** In the order of their lines. */
  diagnostics: Diagnostic[];
  /** The front matter, if it is valid, and the line of each of its fields. */
  frontMatter: { value: FrontMatter; lineOf: (path: readonly PropertyKey[]) => number } | undefined;
}

/** The reading of a file that could not be read at all. */
export const unreadable = (diagnostic: Diagnostic): Reading => ({
  document: undefined,
  tree: undefined,
  sections: [],
  blocks: [],
  diagnostics: [diagnostic],
  frontMatter: undefined,
});

/**
 * Reads one lesson and collects its errors.
 * @param source text of its lesson.mdx
 * @param file path of the file for diagnostics
 * @param id name of the lesson's folder
 */
export function readLesson(source: string, file: string, id: string): Reading {
  const diagnostics: Diagnostic[] = [];
  const report = diagnosticsInto(diagnostics, file);

  let tree: Root;
  try {
    tree = parseMdx(source);
  } catch (cause) {
    if (!(cause instanceof VFileMessage)) throw cause;
    const line = cause.line ?? 1;
    const message = `The MDX has a syntax error at column ${cause.column ?? 1}: ${cause.reason}. Put a literal \`{\` or \`<\` in a code span.`;
    return unreadable({ file, line, level: 'error', message });
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

  const { before, sections } = findSections(tree, report);
  const inSections = sections.map((section) => ({
    section,
    blocks: readBlocks(section.fences, section, report),
  }));
  const steps = inSections.flatMap(({ section, blocks }) =>
    section.isStep ? [stepOf(section, blocks, report)] : [],
  );
  const blocks = [
    ...readBlocks(before, undefined, report),
    ...inSections.flatMap((section) => section.blocks),
  ];
  const values = blocks.flatMap((block) => (block.kind === 'value' ? [block.value] : []));

  if (steps.length === 0)
    report(1, 'The lesson has no step: no `##` section holds a run or a solve block with a check.');
  reportDoubles(
    sections,
    (section) => section.id,
    (name, first) => `The heading in line ${first} has the same id \`${name}\`. Rename one of them.`,
    report,
  );
  reportDoubles(
    values,
    (value) => value.name,
    (name, first) =>
      `The value \`${name}\` is already declared in line ${first}. Rename or remove one of them.`,
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

  diagnostics.sort((one, other) => one.line - other.line);
  let document: LessonDocument | undefined;
  if (diagnostics.length === 0 && frontMatter !== undefined) {
    document = {
      lesson: { id, ...frontMatter.value, steps, values, ...preparationOf(blocks) },
      prose: withoutFrontMatter(source, yaml),
      blocks,
      sections: sections.map(({ id: slug, title, line, isStep }) => ({ id: slug, title, line, isStep })),
    };
  }
  return { document, tree, sections, blocks, diagnostics, frontMatter };
}

/**
 * Reads one lesson.
 * @param source text of its lesson.mdx
 * @param file path of the file for errors
 * @param id name of the lesson's folder
 * @throws LabError `bad-lesson` with all errors, one per line: `file:line: what is wrong and what to do`
 */
export function parseLesson(source: string, file: string, id: string): LessonDocument {
  const { document, diagnostics } = readLesson(source, file, id);
  if (document !== undefined) return document;
  throw new LabError(
    'bad-lesson',
    diagnostics.map(({ line, message }) => `${file}:${line}: ${message}`).join('\n'),
    { hint: 'Correct these lines. docs/lesson-reference.md describes the format.' },
  );
}
