/**
 * The contract of a lesson: the content of its MDX file, and its meaning to the page, the runner and the lesson test.
 *
 * The schemas of this file feed the parser's errors, the editor's JSON schema (`lessons/schema.json`) and the author's
 * reference (`docs/lesson-reference.md`). A field is described here and nowhere else.
 *
 * A lesson is one folder `lessons/<id>/` with `lesson.mdx`. The file begins with front matter. Each heading of level 2 starts
 * a section. A section with run, check, solve or value blocks is a step, and its id is the heading's slug. Blocks are fences.
 * The words after a fence's language name the block's kind and its fields.
 */
import { z } from 'zod';
import { cpuModels, hostNames, type HostName } from '../protocol/hosts';
import type { LessonFile } from './files';

/** Parts of the course, from 1 on. */
export const partTitles = [
  'Orientation',
  'Checkpoint',
  'Restore',
  'SELinux',
  'Integrations',
  'The demo',
  'Beyond the talk',
  'Clinic',
] as const;

const words = z.string().trim().min(1);
const oneLine = words.regex(/^.*$/, 'it must be one line');
/** Name of a lesson's folder, a step or a value. Its characters need no escape in a URL or a shell. */
const slugSchema = z
  .string({ error: 'it must be a name' })
  .regex(/^[a-z][a-z0-9-]*$/, 'use lowercase letters, digits and dashes, beginning with a letter');

// Front matter

const sourceSchema = z
  .strictObject({
    name: oneLine.describe('Name of the source: a program with its version, an article, a talk'),
    url: z
      .url({ protocol: /^https?$/, error: 'it must be an http or https address' })
      .optional()
      .describe('Address of the source'),
    file: oneLine
      .optional()
      .describe('File, or file and function, in the source tree of the program in `name`'),
    what: oneLine.describe('What this lesson takes from the source'),
  })
  .refine(({ url, file }) => url !== undefined || file !== undefined, {
    error: 'it needs a `url` or a `file`',
  })
  .describe('A source of the lesson’s claims');
export type Source = z.infer<typeof sourceSchema>;

export const frontMatterSchema = z
  .strictObject({
    title: oneLine.describe('Title of the lesson'),
    summary: words.describe('One or two sentences for the list of lessons'),
    minutes: z.number().int().positive().max(240).describe('Minutes that a learner needs'),
    part: z
      .number()
      .int()
      .min(1)
      .max(partTitles.length)
      .describe(
        `Part of the course: ${partTitles.map((title, index) => `${index + 1} ${title}`).join(', ')}`,
      ),
    order: z.number().int().positive().describe('Position in its part, starting at 1'),
    outcomes: z
      .array(oneLine)
      .min(1)
      .max(6)
      .describe('What a learner will be able to do, each beginning with a verb'),
    'builds-on': z
      .array(slugSchema)
      .default([])
      .describe('Ids of the lessons that learners must know; these lessons come earlier in the course'),
    sources: z.array(sourceSchema).min(1).describe('Sources of the lesson’s claims'),
    slides: z
      .record(
        z.string().regex(/^\d+$/, 'the key must be the number of a slide'),
        z.union([slugSchema, z.array(slugSchema).min(1)], {
          error: 'it must be the id of a step, or a list of such ids',
        }),
      )
      .default({})
      .describe(
        'Slides of the talk that learners do by hand here: the slide’s number (see lessons/talk.yml) and the step’s id, or a list of ids',
      ),
    cpus: z
      .strictObject({
        source: z.enum(cpuModels).optional().describe('CPU of source'),
        destination: z.enum(cpuModels).optional().describe('CPU of destination'),
      })
      .default({})
      .describe(
        `CPU models of hosts that differ from the default, such as \`{ destination: Nehalem }\`. From old to new: ${cpuModels.join(', ')}. The lab boots such hosts once for the lesson, which takes a minute and 600 MB of disk`,
      ),
  })
  .describe('Front matter of lesson.mdx');
export type FrontMatter = z.infer<typeof frontMatterSchema>;

// Blocks

const host = z.enum(hostNames).describe('Host that runs the block');
const hosts = z.enum([...hostNames, 'both']).describe('Host that gets the block, or both');
const terminal = z
  .union([z.literal(1), z.literal(2)], { error: 'a host has terminal 1 and terminal 2' })
  .default(1)
  .describe('Terminal of the host');
const flag = z.literal(true, { error: 'it takes no value' });

/** The words after a fence's language, by kind of block. `key=value` is a field; a word alone is a field that is true. */
export const blockSchemas = {
  run: z
    .strictObject({
      host,
      terminal,
      exit: z
        .number()
        .int()
        .min(0)
        .max(255)
        .default(0)
        .describe('Expected exit code, for a command that is meant to fail'),
      background: flag
        .optional()
        .describe(
          'The command keeps running during the blocks and steps that follow. It ends by itself or not at all',
        ),
      interrupt: z
        .union([flag, z.number().int().positive().max(600)], {
          error: 'write interrupt, or interrupt=<seconds> up to 600',
        })
        .optional()
        .describe(
          'The learner ends the command with Ctrl-C when the step is done, or after this number of seconds. The lesson test does the same',
        ),
    })
    .refine((run) => [run.background, run.interrupt, run.exit || undefined].filter(Boolean).length < 2, {
      error:
        'use only one of background, interrupt and exit, because a command that is interrupted or left running has no exit code to expect',
    })
    .describe(
      'One command for the learner, with a run button. It may contain `<name>` for a declared value. In a command of several lines, every line but the last ends in a backslash.',
    ),
  check: z
    .strictObject({ host })
    .describe(
      'A script that inspects the state of a host. Exit code 0 means that the step is done. The page shows the last line that the script prints, so that line says what is missing. The script changes nothing.',
    ),
  solve: z
    .strictObject({ host, terminal })
    .describe(
      'The solution of an exercise, in `<details><summary>Solution</summary>`. The lesson test types it after the run blocks. It has no run button.',
    ),
  setup: z
    .strictObject({ host: hosts })
    .describe(
      'A script that root runs once, when the lab prepares the lesson’s hosts. Every learner begins with the files and processes that it leaves behind. The page does not show it.',
    ),
  value: z
    .strictObject({
      value: slugSchema.describe('Name that run blocks use as `<name>`'),
      host,
    })
    .describe(
      'A script that prints one word for run blocks, such as an IP address. The page does not show it.',
    ),
  file: z
    .strictObject({
      file: z
        .string({ error: 'it must be a path' })
        .regex(/^\/[\w.+/-]*[\w.+-]$/, 'write an absolute path without spaces')
        .describe('Absolute path of the file'),
      host: hosts,
      executable: flag.optional().describe('The file may be executed'),
    })
    .describe(
      'A file that is on the host when the lesson begins. The block’s text is the file’s content, and the fence’s language is the file’s. Files and setup blocks take effect in the order of lesson.mdx. A lesson with files and no setup block needs no template of its own. The page shows the file with its path.',
    ),
  output: z
    .strictObject({})
    .describe(
      'Expected output of the run block before it. The real output must contain each line, in this order; the amount of white space does not matter. `…` stands for any text, and a line `…` for any lines. The fence’s language is `text`.',
    ),
} as const;
export const blockKinds = ['run', 'check', 'solve', 'setup', 'value', 'file', 'output'] as const;
export type BlockKind = (typeof blockKinds)[number];

/** The parsed words after a fence's language. */
export type BlockMeta = {
  [Kind in BlockKind]: { kind: Kind } & z.infer<(typeof blockSchemas)[Kind]>;
}[BlockKind];

// Questions

const markdown = words.describe('Markdown');

export const quizSchema = z
  .strictObject({
    question: markdown.describe('The question, in Markdown'),
    options: z
      .array(
        z
          .strictObject({
            text: markdown.describe('The answer, in Markdown'),
            correct: z
              .boolean()
              .default(false)
              .describe('Whether the answer is right. Several answers may be right'),
            explanation: markdown.describe('Why the answer is right or wrong, in Markdown'),
          })
          .describe('An answer to choose from'),
      )
      .min(2)
      .max(6)
      .optional()
      .describe('Answers to choose from, two to six'),
    answer: markdown
      .optional()
      .describe(
        'A good answer to a question without options, in Markdown. Learners answer in their own words',
      ),
    accept: z
      .array(oneLine)
      .min(1)
      .optional()
      .describe('With `answer`: short answers that are certainly right. Case and white space do not matter'),
    explanation: markdown.optional().describe('With `answer`: why the answer is right, in Markdown'),
  })
  .superRefine((quiz, context) => {
    const wrong = (message: string, path: string[] = []): void => {
      context.addIssue({ code: 'custom', message, path });
    };
    if ((quiz.options === undefined) === (quiz.answer === undefined)) {
      wrong('it needs either `options` or an `answer`');
    } else if (quiz.options) {
      if (quiz.accept) wrong('it goes with `answer`, not with `options`', ['accept']);
      if (quiz.explanation) wrong('with `options`, each option has its own explanation', ['explanation']);
      if (!quiz.options.some(({ correct }) => correct)) wrong('no option is `correct: true`', ['options']);
      if (quiz.options.every(({ correct }) => correct)) wrong('all options are correct', ['options']);
    } else if (quiz.explanation === undefined) {
      wrong('it needs an `explanation`');
    }
  })
  .describe('A question about the lesson: a fence of language `quiz`, in YAML');
export type Quiz = z.infer<typeof quizSchema>;

// A lesson as the programs see it

/** A fenced block that runs on a host. */
export interface Block {
  host: HostName;
  /** Shell text without the trailing newline. A run block may contain `<name>` of a declared value. */
  text: string;
  /** 1-based line of the opening fence in lesson.mdx. */
  line: number;
}

/** A command for the learner, see {@link blockSchemas}. */
export interface Run extends Block {
  terminal: 1 | 2;
  exit: number;
  background: boolean;
  /** When Ctrl-C ends the command: after these seconds, or `true` when the step is done. Absent when nothing interrupts it. */
  interrupt?: number | true;
  /** Text that its output must contain. */
  output?: { text: string; line: number };
}

export interface Solve extends Block {
  terminal: 1 | 2;
}

export interface Value extends Block {
  /** `<name>` in run blocks. */
  name: string;
}

export interface Step {
  /** Slug of the heading, unique in the lesson. */
  id: string;
  title: string;
  line: number;
  runs: Run[];
  checks: Block[];
  solves: Solve[];
}

export interface Lesson extends FrontMatter {
  /** Name of the lesson's folder. */
  id: string;
  steps: Step[];
  values: Value[];
  /**
   * Scripts that prepare the lesson's hosts, in the file's order. Scripts that write files are among them. They run once, in a
   * template of the lesson's own.
   */
  setups: Block[];
  /** Scripts that write the files of a lesson without set-up. They are quick, so they run when a learner gets a pair. */
  files: Block[];
}

// A lesson as its page sees it

/** A fence that is more than an illustration. The page does not show checks, set-up, values and outputs at their place in the prose. */
export type LessonBlock = {
  /** 1-based line of the opening fence in lesson.mdx. */
  line: number;
} & (
  | {
      kind: 'run';
      stepId: string;
      /** Index among the step's run blocks, as in the `run` message. */
      runIndex: number;
      run: Run;
    }
  | { kind: 'check'; stepId: string; check: Block }
  | { kind: 'solve'; stepId: string; solve: Solve }
  | { kind: 'value'; stepId: string; value: Value }
  | { kind: 'setup'; host: HostName | 'both'; script: string }
  | { kind: 'file'; host: HostName | 'both'; file: LessonFile }
  | { kind: 'output' }
  | { kind: 'quiz'; quiz: Quiz }
);

/** A heading of level 2 with everything up to the next one. */
export interface LessonSection {
  /** Slug of the heading. */
  id: string;
  title: string;
  /** 1-based line of the heading. */
  line: number;
  /** Whether the section holds blocks of a step, broken ones included. Set-up and files make no step. */
  isStep: boolean;
}

/** A lesson with everything that its page needs. */
export interface LessonDocument {
  lesson: Lesson;
  /** Text of lesson.mdx with a blank line for each line of the front matter, so lines keep their numbers. */
  prose: string;
  /** Blocks in the file's order. The compiled prose names a block by its index here. */
  blocks: LessonBlock[];
  sections: LessonSection[];
}

/** Lessons in the course's order. */
export const inCourseOrder = (one: Lesson, other: Lesson): number =>
  one.part - other.part || one.order - other.order || one.id.localeCompare(other.id);
