/** What is in the lessons' folders, read once for a build. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cache } from 'react';
import type { Lesson } from '../../server/lessons/lesson';
import { listLessons, loadRecording } from '../../server/lessons/load';
import type { Recording } from '../../server/lessons/recording';

export const lessonsDir = join(process.cwd(), 'lessons');

/** All lessons in the course's order. */
export const getLessons = cache((): Promise<Lesson[]> => listLessons(lessonsDir));

export const getRecording = cache((id: string): Promise<Recording | undefined> =>
  loadRecording(lessonsDir, id),
);

/** Names of a lesson's figures. */
export async function getFigures(id: string): Promise<string[]> {
  return (await readdir(join(lessonsDir, id))).filter((name) => name.endsWith('.svg'));
}
