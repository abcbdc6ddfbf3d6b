/** Frames a lesson's text: outcomes before it, sources and the next lesson after it. */
import Link from 'next/link';
import type { ReactElement } from 'react';
import { partTitles, type Lesson, type Source } from '../../server/lessons/lesson';
import { NoteProgress } from './note-progress';
import './lesson-frame.css';

interface Props {
  lesson: Lesson;
  /** The whole course, in its order. */
  lessons: readonly Lesson[];
}

export function LessonStart({ lesson, lessons }: Props): ReactElement {
  const before = lesson['builds-on'].flatMap((id) => lessons.find((one) => one.id === id) ?? []);
  return (
    <section className="lesson-start" aria-label="About this lesson">
      <p>
        <Link href="/lessons">Part {lesson.part}</Link>: {partTitles[lesson.part - 1]}
      </p>
      <h2 id="outcomes">What you will learn to do</h2>
      <ul className="lesson-outcomes">
        {lesson.outcomes.map((outcome) => (
          <li key={outcome}>{outcome}</li>
        ))}
      </ul>
      {before.length > 0 && (
        <p>
          Builds on{' '}
          {before.map(({ id, title }, index) => (
            <span key={id}>
              {index > 0 && ', '}
              <Link href={`/lessons/${id}`}>{title}</Link>
            </span>
          ))}
          .
        </p>
      )}
    </section>
  );
}

function SourceItem({ source: { name, url, file, what } }: { source: Source }): ReactElement {
  return (
    <li>
      {url === undefined ? name : <a href={url}>{name}</a>}
      {file !== undefined && (
        <>
          : <code>{file}</code>
        </>
      )}
      <span className="source-what">{what}</span>
    </li>
  );
}

export function LessonEnd({ lesson, lessons }: Props): ReactElement {
  const next = lessons[lessons.findIndex(({ id }) => id === lesson.id) + 1];
  return (
    <>
      <section className="lesson-sources" aria-labelledby="sources">
        <h2 id="sources">Sources</h2>
        <ul>
          {lesson.sources.map((source) => (
            <SourceItem key={`${source.name} ${source.file ?? ''} ${source.what}`} source={source} />
          ))}
        </ul>
      </section>
      <nav className="lesson-next" aria-label="Course">
        {next !== undefined && (
          <p>
            Next: <Link href={`/lessons/${next.id}`}>{next.title}</Link>
          </p>
        )}
        <p>
          <Link href="/lessons">All lessons</Link>
        </p>
      </nav>
      <NoteProgress />
    </>
  );
}
