import type { Metadata } from 'next';
import type { ReactElement } from 'react';
import { PageFrame } from '../ui/page-frame';
import { getLessons } from './data';
import { CourseOutline } from './course-outline';
import { outlineOf } from './outline';
import '../ui/section.css';

export const metadata: Metadata = {
  title: 'The course',
  description: 'All lessons of the course on container live migration, with your progress.',
};

export default async function CoursePage(): Promise<ReactElement> {
  return (
    <PageFrame>
      <section className="home-section" aria-labelledby="course">
        <h1 id="course">The course</h1>
        <CourseOutline parts={outlineOf(await getLessons())} />
      </section>
    </PageFrame>
  );
}
