import { partTitles, type Lesson } from '../../server/lessons/lesson';
import type { OutlinePart } from './course-outline';

/** Parts of the course that have lessons. */
export const outlineOf = (lessons: readonly Lesson[]): OutlinePart[] =>
  partTitles.flatMap((title, index) => {
    const these = lessons.filter(({ part }) => part === index + 1);
    if (these.length === 0) return [];
    return [
      {
        number: index + 1,
        title,
        lessons: these.map(({ id, title: name, summary, minutes, steps }) => ({
          id,
          title: name,
          summary,
          minutes,
          stepIds: steps.map((step) => step.id),
        })),
      },
    ];
  });
