'use client';

import Link from 'next/link';
import type { ReactElement } from 'react';
import { useProgress } from './progress';
import '../ui/section.css';
import './course-outline.css';

/** A lesson in the outline. */
interface OutlineLesson {
  id: string;
  title: string;
  summary: string;
  minutes: number;
  stepIds: readonly string[];
}

export interface OutlinePart {
  number: number;
  title: string;
  lessons: readonly OutlineLesson[];
}

const spellMinutes = (minutes: number): string => {
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  if (hours === 0) return `${rest} minutes`;
  return `${hours} ${hours === 1 ? 'hour' : 'hours'}${rest === 0 ? '' : ` ${rest} minutes`}`;
};

/** The course by parts, with this browser's progress. */
export function CourseOutline({ parts }: { parts: readonly OutlinePart[] }): ReactElement {
  const progress = useProgress();
  const countDone = ({ id, stepIds }: OutlineLesson): number =>
    stepIds.filter((step) => progress[id]?.includes(step)).length;
  const lessons = parts.flatMap((part) => part.lessons);
  const minutes = lessons.reduce((sum, lesson) => sum + lesson.minutes, 0);
  const finished = lessons.filter((lesson) => countDone(lesson) === lesson.stepIds.length).length;
  return (
    <div className="course">
      <p className="home-lead">
        {lessons.length} {lessons.length === 1 ? 'lesson' : 'lessons'}, about {spellMinutes(minutes)}.{' '}
        {finished > 0 && `You have finished ${finished}.`}
      </p>
      {parts.map(({ number, title, lessons: these }) => (
        <section key={number} className="course-part" aria-labelledby={`part-${number}`}>
          <h3 id={`part-${number}`}>
            <span className="course-part-number">{number}</span> {title}
          </h3>
          <ol className="lesson-list">
            {these.map((lesson) => {
              const done = countDone(lesson);
              const steps = lesson.stepIds.length;
              return (
                <li key={lesson.id} data-done={done === steps ? 'all' : done > 0 ? 'some' : 'none'}>
                  <h4>
                    <Link href={`/lessons/${lesson.id}`}>{lesson.title}</Link>
                  </h4>
                  <p>{lesson.summary}</p>
                  <p className="lesson-list-facts">
                    {steps} {steps === 1 ? 'step' : 'steps'}, about {spellMinutes(lesson.minutes)}
                    {done === steps ? ', done' : done > 0 ? `, ${done} done` : ''}
                  </p>
                </li>
              );
            })}
          </ol>
        </section>
      ))}
    </div>
  );
}
