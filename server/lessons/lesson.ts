/**
 * The contract of a lesson: what its MDX file means to the page, the runner and the lesson test.
 *
 * A lesson is one folder `lessons/<id>/` with `lesson.mdx`. Its front matter is {@link frontMatterSchema}. Each heading of
 * level 2 starts a section; a section with fenced blocks of the kinds below is a step, and its id is the heading's slug.
 * The words after the language of a fence say what the block is:
 *
 *     ```bash run host=source        the learner runs it in the host's terminal; the lesson test does as well
 *     ```bash check host=source      run out of sight; exit 0 means that the step is done; its last line is shown
 *     ```bash solve host=source      what the lesson test types for an exercise, after the run blocks
 *     ```bash setup host=source      run once, before the host is given to a learner; anywhere in the file, not shown
 *     ```bash value=address host=source   prints a value that run blocks may use as `<address>`
 */
import { z } from 'zod';
import type { HostName } from '../protocol/hosts';

export const frontMatterSchema = z
  .strictObject({
    title: z.string().min(1).describe('Title of the lesson'),
    summary: z.string().min(1).describe('One or two sentences for the list of lessons'),
    minutes: z.number().int().positive().describe('Minutes that a learner needs'),
    order: z.number().int().nonnegative().describe('Place in the course, counted from 1'),
  })
  .describe('Front matter of lesson.mdx');
export type FrontMatter = z.infer<typeof frontMatterSchema>;

/** A fenced block that is run on a host. */
export interface Block {
  host: HostName;
  /** Shell text without the trailing newline; run blocks may hold `<name>` of a declared value. */
  text: string;
  /** 1-based line of the opening fence in lesson.mdx. */
  line: number;
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
  runs: Block[];
  checks: Block[];
  solves: Block[];
}

export interface Lesson extends FrontMatter {
  /** Name of the lesson's folder. */
  id: string;
  steps: Step[];
  values: Value[];
  /** What made the lesson's hosts what they are, in the file's order. */
  setups: Block[];
}
