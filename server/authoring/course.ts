/** Reads everything that authors write: the lessons with what is wrong in them, the terms, the slides of the talk. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { inCourseOrder, type Lesson } from '../lessons/lesson';
import { lessonFile, lessonIds, loadRecording } from '../lessons/load';
import { diagnosticsInto, type Diagnostic } from '../lessons/diagnostics';
import { readLesson, unreadable, type Reading } from '../lessons/parse';
import type { Recording } from '../lessons/recording';
import { readYaml } from '../lessons/yaml';
import { LabError } from '../protocol/errors';
import { imageKey } from '../setup/stages';

const termsSchema = z.record(z.string(), z.string()).describe('How terms are spelt: wrong, then right');

const talkSchema = z
  .record(
    z.string().regex(/^\d+$/, 'the key must be the number of a slide'),
    z.strictObject({
      title: z.string().describe('Title of the slide'),
      'no-step': z.string().optional().describe('Why nothing on the slide can be done by hand'),
    }),
  )
  .describe('Slides of the talk by number');

/** A slide of the talk. */
interface Slide {
  number: number;
  title: string;
  /** Why nothing on it can be done by hand. */
  noStep: string | undefined;
}

/** A lesson's folder as its author left it. */
export interface Draft extends Reading {
  id: string;
  /** Text of its lesson.mdx. */
  source: string;
  /** Undefined when there is an error in its file. */
  lesson: Lesson | undefined;
  /** What the lesson test saw of it, if it was recorded and can be read. */
  recording: Recording | undefined;
  /** Paths in the lesson's folder, such as `recordings/source.cast`. */
  files: readonly string[];
}

export interface Course {
  /** Directory of the checkout. */
  root: string;
  drafts: readonly Draft[];
  /** The lessons without errors, in the course's order. */
  lessons: readonly Lesson[];
  terms: Readonly<Record<string, string>>;
  slides: readonly Slide[];
  /** Key of the host image that this checkout makes. */
  image: string;
  /** What is wrong with the terms and the slides. */
  diagnostics: readonly Diagnostic[];
}

const termsPath = 'lessons/terms.yml';
export const talkPath = 'lessons/talk.yml';
/** Path of a lesson's file in the checkout. */
export const lessonPath = (id: string): string => `lessons/${id}/lesson.mdx`;

async function readDraft(lessonsDir: string, id: string): Promise<Draft> {
  const file = lessonPath(id);
  const files = await readdir(join(lessonsDir, id), { recursive: true });
  let source: string;
  try {
    source = await readFile(lessonFile(lessonsDir, id), 'utf8');
  } catch {
    const message = 'The file is missing. Each folder in lessons/ holds a lesson.mdx.';
    const reading = unreadable({ file, line: 1, level: 'error', message });
    return { ...reading, id, source: '', files, lesson: undefined, recording: undefined };
  }
  const reading = readLesson(source, file, id);
  const recording = await loadRecording(lessonsDir, id).catch((error: unknown) => {
    const failure = LabError.from(error, 'Reading the recording');
    diagnosticsInto(reading.diagnostics, file)(1, `${failure.describe()} ${failure.hint ?? ''}`);
    return undefined;
  });
  return { ...reading, id, source, files, lesson: reading.document?.lesson, recording };
}

/** @param root directory of the checkout */
export async function readCourse(root: string): Promise<Course> {
  const lessonsDir = join(root, 'lessons');
  const diagnostics: Diagnostic[] = [];
  const readBeside = async <Schema extends z.ZodType>(path: string, schema: Schema, whole: string) => {
    const text = await readFile(join(root, path), 'utf8');
    const report = diagnosticsInto(diagnostics, path);
    return readYaml(text, schema, { openingLine: 0, whole, report })?.value;
  };
  const terms = await readBeside(termsPath, termsSchema, 'The list of terms');
  const talk = await readBeside(talkPath, talkSchema, 'The list of slides');
  const drafts = await Promise.all((await lessonIds(lessonsDir)).map((id) => readDraft(lessonsDir, id)));
  const slides = Object.entries(talk ?? {}).map(([number, slide]) => ({
    number: Number(number),
    title: slide.title,
    noStep: slide['no-step'],
  }));
  return {
    root,
    drafts,
    lessons: drafts.flatMap(({ lesson }) => lesson ?? []).sort(inCourseOrder),
    terms: terms ?? {},
    slides,
    image: await imageKey(root),
    diagnostics,
  };
}
