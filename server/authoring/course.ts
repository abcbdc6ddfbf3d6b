/** All that authors write, read at once: the lessons with their defects, the terms, the slides of the talk. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { inCourseOrder, type Lesson } from '../lessons/lesson';
import { lessonFile, lessonIds, loadRecording } from '../lessons/load';
import { readLesson, type Reading } from '../lessons/parse';
import type { Recording } from '../lessons/recording';
import { findSections } from '../lessons/sections';
import { readYaml, type Defect } from '../lessons/yaml';
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
export interface Slide {
  number: number;
  title: string;
  /** Why nothing on it can be done by hand. */
  noStep: string | undefined;
}

/** A lesson's folder as its author left it. */
export interface Draft extends Reading {
  id: string;
  source: string;
  /** Ids of its headings of level 2: what links may point to. */
  anchors: readonly string[];
  /** What the lesson test saw of it, if it was recorded and can be read. */
  recording: Recording | undefined;
  /** Names of the files beside lesson.mdx, those of its folders too: `recordings/source.cast`. */
  files: readonly string[];
}

export interface Course {
  /** Directory of the checkout. */
  root: string;
  drafts: readonly Draft[];
  /** The lessons without defects, in the course's order. */
  lessons: readonly Lesson[];
  terms: Readonly<Record<string, string>>;
  slides: readonly Slide[];
  /** Key of the host image that this checkout makes. */
  image: string;
  /** What is wrong with the terms and the slides, by path in the checkout. */
  defects: Readonly<Record<string, readonly Defect[]>>;
}

export const termsPath = 'lessons/terms.yml';
export const talkPath = 'lessons/talk.yml';
/** Path of a lesson's file in the checkout. */
export const lessonPath = (id: string): string => `lessons/${id}/lesson.mdx`;

async function readDraft(lessonsDir: string, id: string): Promise<Draft> {
  const entries = await readdir(join(lessonsDir, id), { recursive: true });
  let source: string;
  try {
    source = await readFile(lessonFile(lessonsDir, id), 'utf8');
  } catch {
    const defects = [{ line: 1, text: 'There is no such file. Each folder in lessons/ holds a lesson.mdx.' }];
    const nothing = { lesson: undefined, tree: undefined, frontMatter: undefined };
    return { id, source: '', anchors: [], files: entries, defects, recording: undefined, ...nothing };
  }
  const reading = readLesson(source, id);
  const recording = await loadRecording(lessonsDir, id).catch((error: unknown) => {
    const failure = LabError.from(error, 'Reading the recording');
    reading.defects.push({ line: 1, text: `${failure.describe()} ${failure.hint ?? ''}` });
    return undefined;
  });
  const anchors = reading.tree ? findSections(reading.tree).sections.map((section) => section.id) : [];
  return { id, source, anchors, files: entries, recording, ...reading };
}

/** @param root directory of the checkout */
export async function readCourse(root: string): Promise<Course> {
  const lessonsDir = join(root, 'lessons');
  const defects: Record<string, Defect[]> = {};
  const readBeside = async <Schema extends z.ZodType>(path: string, schema: Schema, whole: string) => {
    const found: Defect[] = (defects[path] = []);
    const text = await readFile(join(root, path), 'utf8');
    const report = (line: number, problem: string): void => void found.push({ line, text: problem });
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
    defects,
  };
}
