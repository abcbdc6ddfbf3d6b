import type { Metadata } from 'next';
import { notFound } from 'next/navigation';
import type { ReactElement } from 'react';
import { lessonIds } from '../../../server/lessons/load';
import { lessonHash } from '../../../server/lessons/recording';
import { LabError } from '../../../server/protocol/errors';
import { Problem } from '../../ui/problem';
import { PageFrame } from '../../ui/page-frame';
import { Workspace } from '../../workspace/workspace';
import { getLessonContent } from '../content';
import { getLessons, isDevelopment, lessonsDir } from '../data';
import { ReloadOnSave } from '../reload-on-save';

interface Props {
  params: Promise<{ lesson: string }>;
}

/** The build knows all lessons, so any other address is 404. */
export const dynamicParams = false;

export async function generateStaticParams(): Promise<{ lesson: string }[]> {
  return (await lessonIds(lessonsDir)).map((lesson) => ({ lesson }));
}

export async function generateMetadata({ params }: Props): Promise<Metadata> {
  const { lesson: id } = await params;
  const lesson = (await getLessons()).find((one) => one.id === id);
  return lesson === undefined ? {} : { title: lesson.title, description: lesson.summary };
}

export default async function LessonPage({ params }: Props): Promise<ReactElement> {
  const { lesson: id } = await params;
  if (!(await lessonIds(lessonsDir)).includes(id)) notFound();
  const read = await getLessonContent(id).catch((thrown: unknown) => {
    if (isDevelopment && thrown instanceof LabError) return thrown;
    throw thrown;
  });
  if (read instanceof LabError) {
    return (
      <PageFrame>
        <Problem error={read.toWire()} />
        <ReloadOnSave />
      </PageFrame>
    );
  }
  const { lesson, content } = read;
  return (
    // The key resets the page's state when the lesson's steps change. The page does not need the set-up scripts, which may be long.
    <Workspace key={lessonHash(lesson)} lesson={{ ...lesson, setups: [], files: [] }}>
      {content}
      {isDevelopment && <ReloadOnSave />}
    </Workspace>
  );
}
