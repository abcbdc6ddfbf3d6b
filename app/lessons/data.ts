/** What is in the lessons' folders, read once for a build. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cache } from 'react';
import type { Lesson } from '../../server/lessons/lesson';
import { checkLessons, listLessons, loadRecording } from '../../server/lessons/load';
import type { Recording } from '../../server/lessons/recording';

export const lessonsDir = join(process.cwd(), 'lessons');

/** Whether an author is at work: a lesson that is broken must not take the others with it, and tells its defects. */
export const isDevelopment = process.env.NODE_ENV === 'development';

let readForBuild: Promise<Lesson[]> | undefined;

/**
 * All lessons in the course's order. A build has hundreds of pages that ask, and parsing the course for each took minutes.
 * @throws LabError `bad-lesson`
 */
export const getLessons: () => Promise<Lesson[]> = isDevelopment
  ? cache(async () => (await checkLessons(lessonsDir)).lessons)
  : () => (readForBuild ??= listLessons(lessonsDir));

export const getRecording = cache((id: string): Promise<Recording | undefined> =>
  loadRecording(lessonsDir, id),
);

/** Names of a lesson's figures. */
export async function getFigures(id: string): Promise<string[]> {
  return (await readdir(join(lessonsDir, id))).filter((name) => name.endsWith('.svg'));
}
