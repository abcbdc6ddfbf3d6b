/** The only file of this folder that reads the disk. */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { LabError } from '../protocol/errors';
import { inCourseOrder, type Lesson } from './lesson';
import { parseLesson } from './parse';
import { manifestName, recordingSchema, recordingsFolder, type Recording } from './recording';

/** Path of a lesson's file. */
export const lessonFile = (lessonsDir: string, id: string): string => join(lessonsDir, id, 'lesson.mdx');

/** Names of the folders that hold lessons, sorted. */
export async function lessonIds(lessonsDir: string): Promise<string[]> {
  try {
    const entries = await readdir(lessonsDir, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort();
  } catch (cause) {
    throw new LabError('bad-lesson', `Cannot read the lessons in ${lessonsDir}: ${String(cause)}`, {
      hint: 'Start the server in the checkout, where the folder lessons/ is.',
      cause,
    });
  }
}

/**
 * Reads and validates one lesson.
 * @param id comes from a learner's request: nothing but the name of an existing folder reaches a path
 * @throws LabError `bad-lesson` when there is no such lesson or its file has defects
 */
export async function loadLesson(lessonsDir: string, id: string): Promise<Lesson> {
  const ids = await lessonIds(lessonsDir);
  if (!ids.includes(id)) {
    throw new LabError('bad-lesson', `There is no lesson \`${id}\`.`, {
      hint: `There is: ${ids.join(', ')}.`,
    });
  }
  const path = lessonFile(lessonsDir, id);
  const name = relative(process.cwd(), path);
  let source: string;
  try {
    source = await readFile(path, 'utf8');
  } catch (cause) {
    throw new LabError('bad-lesson', `${name}:1: Cannot be read: ${String(cause)}`, {
      hint: 'Each folder in lessons/ holds a lesson.mdx.',
      cause,
    });
  }
  return parseLesson(source, name, id);
}

/** Reads all lessons: those that are good, in the course's order, and one error for each that is not. */
export async function checkLessons(lessonsDir: string): Promise<{ lessons: Lesson[]; errors: LabError[] }> {
  const lessons: Lesson[] = [];
  const errors: LabError[] = [];
  for (const id of await lessonIds(lessonsDir)) {
    try {
      lessons.push(await loadLesson(lessonsDir, id));
    } catch (thrown) {
      errors.push(LabError.from(thrown, `Reading the lesson ${id}`));
    }
  }
  lessons.sort(inCourseOrder);
  return { lessons, errors };
}

/**
 * All lessons in the course's order.
 * @throws LabError `bad-lesson` with the defects of all lessons
 */
export async function listLessons(lessonsDir: string): Promise<Lesson[]> {
  const { lessons, errors } = await checkLessons(lessonsDir);
  const [first] = errors;
  if (first === undefined) return lessons;
  throw new LabError('bad-lesson', errors.map((error) => error.describe()).join('\n'), {
    ...(first.hint === undefined ? {} : { hint: first.hint }),
    cause: first,
  });
}

/**
 * What the lesson test saw of a lesson; undefined when it was never recorded.
 * @throws LabError `bad-lesson` when the recording cannot be read
 */
export async function loadRecording(lessonsDir: string, id: string): Promise<Recording | undefined> {
  const path = join(lessonsDir, id, recordingsFolder, manifestName);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return recordingSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new LabError('bad-lesson', `${relative(process.cwd(), path)}:1: This is no recording.`, {
      hint: `Make it anew: npm run lessons -- record ${id}`,
      cause,
    });
  }
}
