/** Lessons as the page shows them: compiled and evaluated on the server when the site is built. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleMDX } from 'mdx-bundler';
import { getMDXComponent } from 'mdx-bundler/client';
import type { ReactNode } from 'react';
import type { Lesson } from '../../server/lessons/lesson';
import { lessonFile, loadLesson } from '../../server/lessons/load';
import { lessonPlugins } from '../../server/lessons/remark-lesson';
import { blocksOf } from './blocks';
import { getLessons, getRecording, lessonsDir } from './data';
import { LessonEnd, LessonStart } from './lesson-frame';
import './content.css';

/**
 * A lesson and its text, ready to be rendered.
 * @throws LabError `bad-lesson`
 */
export async function getLessonContent(id: string): Promise<{ lesson: Lesson; content: ReactNode }> {
  const lesson = await loadLesson(lessonsDir, id);
  const { code } = await bundleMDX({
    source: await readFile(lessonFile(lessonsDir, id), 'utf8'),
    cwd: join(lessonsDir, id),
    // Its own type of the options names a path that its package does not export.
    mdxOptions: (options: { remarkPlugins?: unknown[] }) => ({
      ...options,
      remarkPlugins: [...(options.remarkPlugins ?? []), ...lessonPlugins],
    }),
  });
  const Content = getMDXComponent(code);
  const lessons = await getLessons();
  const content = (
    <>
      <LessonStart lesson={lesson} lessons={lessons} />
      <Content components={blocksOf(lesson, await getRecording(id))} />
      <LessonEnd lesson={lesson} lessons={lessons} />
    </>
  );
  return { lesson, content };
}
