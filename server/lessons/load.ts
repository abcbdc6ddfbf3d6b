/** Reads lessons from the disk. The other files of this folder do no I/O. */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { LabError } from '../protocol/errors';
import { inCourseOrder, type Lesson, type LessonDocument } from './lesson';
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
 * @param id comes from a learner's request, so only the name of an existing folder becomes part of a path
 * @throws LabError `bad-lesson` when there is no such lesson, or its file has an error
 */
export async function loadDocument(lessonsDir: string, id: string): Promise<LessonDocument> {
  const ids = await lessonIds(lessonsDir);
  if (!ids.includes(id)) {
    throw new LabError('bad-lesson', `There is no lesson \`${id}\`.`, {
      hint: `The lessons are: ${ids.join(', ')}.`,
    });
  }
  const path = lessonFile(lessonsDir, id);
  const name = relative(process.cwd(), path);
  let source: string;
  try {
    source = await readFile(path, 'utf8');
  } catch (cause) {
    throw new LabError('bad-lesson', `${name}:1: The file cannot be read: ${String(cause)}`, {
      hint: 'Each folder in lessons/ holds a lesson.mdx.',
      cause,
    });
  }
  return parseLesson(source, name, id);
}

/** Like {@link loadDocument}, without the parts that only the page needs. */
export const loadLesson = async (lessonsDir: string, id: string): Promise<Lesson> =>
  (await loadDocument(lessonsDir, id)).lesson;

/** Reads all lessons: the good ones in the course's order, and an error for each of the others. */
export async function checkDocuments(
  lessonsDir: string,
): Promise<{ documents: LessonDocument[]; errors: LabError[] }> {
  const documents: LessonDocument[] = [];
  const errors: LabError[] = [];
  for (const id of await lessonIds(lessonsDir)) {
    try {
      documents.push(await loadDocument(lessonsDir, id));
    } catch (thrown) {
      errors.push(LabError.from(thrown, `Reading the lesson ${id}`));
    }
  }
  documents.sort((one, other) => inCourseOrder(one.lesson, other.lesson));
  return { documents, errors };
}

/**
 * All lessons in the course's order.
 * @throws LabError `bad-lesson` with the errors of all lessons
 */
export async function listDocuments(lessonsDir: string): Promise<LessonDocument[]> {
  const { documents, errors } = await checkDocuments(lessonsDir);
  const [first] = errors;
  if (first === undefined) return documents;
  throw new LabError('bad-lesson', errors.map((error) => error.describe()).join('\n'), {
    ...(first.hint === undefined ? {} : { hint: first.hint }),
    cause: first,
  });
}

/** Like {@link listDocuments}, without the parts that only the pages need. */
export const listLessons = async (lessonsDir: string): Promise<Lesson[]> =>
  (await listDocuments(lessonsDir)).map(({ lesson }) => lesson);

/**
 * The lesson test's recording of a lesson; undefined when there is none.
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
    throw new LabError('bad-lesson', `${relative(process.cwd(), path)}:1: This is not a recording.`, {
      hint: `Record the lesson again: npm run lessons -- record ${id}`,
      cause,
    });
  }
}
