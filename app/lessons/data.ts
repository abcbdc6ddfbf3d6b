/** Reads the lessons' folders, once per build. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cache } from 'react';
import type { Lesson, LessonDocument } from '../../server/lessons/lesson';
import { checkDocuments, listDocuments, loadDocument, loadRecording } from '../../server/lessons/load';
import type { Recording } from '../../server/lessons/recording';

export const lessonsDir = join(process.cwd(), 'lessons');

/** Whether an author is at work. Then a broken lesson shows its errors, and the other lessons still work. */
export const isDevelopment = process.env.NODE_ENV === 'development';

let readForBuild: Promise<LessonDocument[]> | undefined;

/**
 * All lessons in the course's order. Cached, because a build renders hundreds of pages, and parsing the course for each took minutes.
 * @throws LabError `bad-lesson`
 */
const getDocuments: () => Promise<LessonDocument[]> = isDevelopment
  ? cache(async () => (await checkDocuments(lessonsDir)).documents)
  : () => (readForBuild ??= listDocuments(lessonsDir));

/** As {@link getDocuments}, without what only a lesson's own page needs. */
export const getLessons = async (): Promise<Lesson[]> => (await getDocuments()).map(({ lesson }) => lesson);

/**
 * One lesson with what its page needs.
 * @throws LabError `bad-lesson`
 */
export async function getDocument(id: string): Promise<LessonDocument> {
  const document = (await getDocuments()).find(({ lesson }) => lesson.id === id);
  // Loading a broken lesson throws the error that describes its problems.
  return document ?? loadDocument(lessonsDir, id);
}

export const getRecording = cache((id: string): Promise<Recording | undefined> =>
  loadRecording(lessonsDir, id),
);

/** File names of a lesson's figures. */
export async function getFigures(id: string): Promise<string[]> {
  return (await readdir(join(lessonsDir, id))).filter((name) => name.endsWith('.svg'));
}
