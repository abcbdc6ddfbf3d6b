import type { Metadata } from 'next';
import { notFound } from 'next/navigation';
import type { ReactElement } from 'react';
import { Workspace } from '../../workspace/workspace';
import { getLessonContent } from '../content';
import { getLessons } from '../data';

interface Props {
  params: Promise<{ lesson: string }>;
}

/** Lessons are known when the site is built; any other address is not found. */
export const dynamicParams = false;

export async function generateStaticParams(): Promise<{ lesson: string }[]> {
  return (await getLessons()).map(({ id }) => ({ lesson: id }));
}

export async function generateMetadata({ params }: Props): Promise<Metadata> {
  const { lesson: id } = await params;
  const lesson = (await getLessons()).find((one) => one.id === id);
  return lesson === undefined ? {} : { title: lesson.title, description: lesson.summary };
}

export default async function LessonPage({ params }: Props): Promise<ReactElement> {
  const { lesson: id } = await params;
  if (!(await getLessons()).some((lesson) => lesson.id === id)) notFound();
  const { lesson, content } = await getLessonContent(id);
  // Set-up is done before a learner comes, and may be long.
  return <Workspace lesson={{ ...lesson, setups: [] }}>{content}</Workspace>;
}
