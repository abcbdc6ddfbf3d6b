/** Lessons as the page shows them: compiled and evaluated on the server when the site is built. */
import { join } from 'node:path';
import { bundleMDX } from 'mdx-bundler';
import { getMDXComponent } from 'mdx-bundler/client';
import type { ReactNode } from 'react';
import type { Lesson } from '../../server/lessons/lesson';
import { lessonPlugins } from '../../server/lessons/remark-lesson';
import { lessonComponents } from './blocks';
import { getDocument, getLessons, getRecording, lessonsDir } from './data';
import { LessonEnd, LessonStart } from './lesson-frame';
import './content.css';

/**
 * A lesson and its rendered text.
 * @throws LabError `bad-lesson`
 */
export async function getLessonContent(id: string): Promise<{ lesson: Lesson; content: ReactNode }> {
  const document = await getDocument(id);
  const { lesson, prose } = document;
  const { code } = await bundleMDX({
    source: prose,
    cwd: join(lessonsDir, id),
    // mdx-bundler's own type of the options names a path that its package does not export.
    mdxOptions: (options: { remarkPlugins?: unknown[] }) => ({
      ...options,
      remarkPlugins: [...(options.remarkPlugins ?? []), ...lessonPlugins(document)],
    }),
  });
  const Content = getMDXComponent(code);
  const lessons = await getLessons();
  const content = (
    <>
      <LessonStart lesson={lesson} lessons={lessons} />
      <Content components={lessonComponents(document, await getRecording(id))} />
      <LessonEnd lesson={lesson} lessons={lessons} />
    </>
  );
  return { lesson, content };
}
