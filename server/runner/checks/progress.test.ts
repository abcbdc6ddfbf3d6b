import { describe, expect, test } from 'vitest';
import { loadLesson } from '../../lessons/load';
import type { HostName } from '../../protocol/hosts';
import type { StepState } from '../../protocol/session';
import { LabError } from '../../protocol/errors';
import { Progress } from './progress';

const lesson = await loadLesson('lessons', 'live-migration');

function progressWithoutHosts(): Progress {
  const noHosts = () => Promise.reject(new LabError('not-ready', 'There are no hosts.'));
  const ignore = () => undefined;
  return new Progress(lesson, noHosts, {
    onStep: ignore,
    onPassed: ignore,
    onValues: ignore,
    onError: ignore,
  });
}

test('a step has not passed because its hosts cannot be asked', async () => {
  const progress = progressWithoutHosts();
  const [first] = lesson.steps;
  if (!first) throw new Error('The lesson has no step.');
  await progress.check(first);
  expect(progress.hasPassed(first)).toBe(false);
  expect(progress.states[first.id]).toMatchObject({
    state: 'open',
    message: 'There are no hosts.',
  });
});

test('a host that cannot be asked is told as any error is: the page learns what failed, the log why', async () => {
  const foreign = new Error("ENOENT: no such file or directory, open '/var/lib/lab/keys/id'");
  const errors: [host: HostName, error: LabError][] = [];
  const ignore = () => undefined;
  const progress = new Progress(lesson, () => Promise.reject(foreign), {
    onStep: ignore,
    onPassed: ignore,
    onValues: ignore,
    onError: (host, error) => errors.push([host, error]),
  });
  const step = lesson.steps.find(({ checks }) => checks.length > 0);
  if (!step) throw new Error('The lesson checks nothing.');
  await progress.check(step);
  const [[host, error] = []] = errors;
  expect(error?.cause).toBe(foreign);
  expect(progress.states[step.id]?.message).toBe(
    LabError.from(foreign, `A check on ${host ?? ''} failed`).toWire().message,
  );
});

describe('on hosts that answer', () => {
  const block = (host: HostName, text: string) => ({ host, text, line: 1 });
  const [first, second] = lesson.steps;
  if (!first || !second) throw new Error('The lesson has too few steps.');
  const small = {
    ...lesson,
    values: [
      { ...block('source', 'pid'), name: 'pid' },
      { ...block('destination', 'address'), name: 'address' },
      { ...block('source', 'two words'), name: 'words' },
    ],
    steps: [
      { ...first, checks: [block('destination', 'first, there'), block('source', 'first, here')] },
      { ...second, checks: [block('source', 'second')] },
    ],
  };
  const answersOf = (answers: Record<string, [exitCode: number, stdout: string]>) => {
    const asked: [host: HostName, scripts: readonly string[]][] = [];
    const states: [stepId: string, state: string, message: string][] = [];
    const values: Readonly<Record<string, string>>[] = [];
    const progress = new Progress(
      small,
      (host, scripts) => {
        asked.push([host, scripts]);
        return Promise.resolve(
          scripts.map((script) => {
            const [exitCode, stdout] = answers[script] ?? [1, ''];
            return { exitCode, stdout };
          }),
        );
      },
      {
        onStep: (stepId: string, { state, message }: StepState) => states.push([stepId, state, message]),
        onPassed: () => undefined,
        onValues: (known) => values.push(known),
        onError: () => undefined,
      },
    );
    return { progress, asked, states, values };
  };

  test('each host is asked once for the values and the check of the first open step', async () => {
    const { progress, asked, states, values } = answersOf({
      pid: [0, '17\n'],
      'two words': [0, 'a b\n'],
      address: [1, '10.88.0.2\n'],
      'first, there': [0, 'It is there.\n'],
      'first, here': [1, 'well\nIt is not here.\n'],
    });
    progress.wantCheck();
    await expect.poll(() => states).toEqual([[first.id, 'open', 'It is not here.']]);
    expect(asked).toEqual([
      ['source', ['pid', 'two words', 'first, here']],
      ['destination', ['address', 'first, there']],
    ]);
    // One script failed, the other printed what must not be typed into a shell.
    expect(values).toEqual([{ pid: '17' }]);
  });

  test('a step that passes has the next one looked at, and stays passed', async () => {
    const answers: Record<string, [number, string]> = {
      'first, there': [0, 'It is there.'],
      'first, here': [0, 'It is here.'],
      second: [1, 'Not yet.'],
    };
    const { progress, states } = answersOf(answers);
    expect(progress.checkedAtMs).toBe(0);
    const begunAtMs = Date.now();
    progress.wantCheck();
    await expect
      .poll(() => states)
      .toEqual([
        [first.id, 'passed', 'It is here.'],
        [second.id, 'open', 'Not yet.'],
      ]);
    expect(progress.checkedAtMs).toBeGreaterThanOrEqual(begunAtMs);
    answers['first, here'] = [1, 'It is not here any more.'];
    await progress.check(small.steps[0] ?? first);
    expect(progress.states[first.id]).toMatchObject({ state: 'passed', message: 'It is here.' });
  });
});
