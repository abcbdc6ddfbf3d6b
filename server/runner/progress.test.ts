import { expect, test } from 'vitest';
import { loadLesson } from '../lessons/load';
import { LabError } from '../protocol/errors';
import { Progress } from './progress';

const lesson = await loadLesson('lessons', 'live-migration');

function progressWithoutHosts(): Progress {
  const noHosts = () => Promise.reject(new LabError('not-ready', 'There are no hosts.'));
  const ignore = () => undefined;
  return new Progress(lesson, noHosts, { onStep: ignore, onPassed: ignore, onValues: ignore });
}

test('a step has begun when one of its commands was typed, and not any more after going back to it', () => {
  const progress = progressWithoutHosts();
  const [first, second, third] = lesson.steps;
  if (!first || !second || !third) throw new Error('The lesson has too few steps.');
  progress.noteRun(second.id, 0);
  expect([first, second, third].map((step) => progress.hasBegun(step))).toEqual([false, true, false]);
  progress.goBackTo(second.id, {});
  expect(progress.hasBegun(second)).toBe(false);
});

test('a step whose commands were not typed has not begun because its hosts cannot be asked', async () => {
  const progress = progressWithoutHosts();
  const [first] = lesson.steps;
  if (!first) throw new Error('The lesson has no step.');
  await progress.check(first);
  expect(progress.hasBegun(first)).toBe(false);
  expect(progress.place().steps[first.id]).toMatchObject({ state: 'open', message: 'There are no hosts.' });
});
