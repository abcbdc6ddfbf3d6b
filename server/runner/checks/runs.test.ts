/** Each click is executed once. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { LabError } from '../../protocol/errors';
import type { Busy } from '../../protocol/terminal';
import { Runs, type RunRequest } from './runs';

const request = (whenBusy: RunRequest['whenBusy'] = 'refuse', runId: string = randomUUID()): RunRequest => ({
  type: 'run',
  runId,
  stepId: 'step',
  block: 0,
  terminal: 'source',
  whenBusy,
});

/** A terminal that is free or not, and counts what is typed into it. */
const typist = (busy: () => Busy | undefined) => {
  let typed = 0;
  return {
    type: async () => {
      await sleep(5);
      const inTheWay = busy();
      if (!inTheWay) typed += 1;
      return inTheWay;
    },
    count: () => typed,
  };
};

test('a click that is sent again, also while it is being typed, is typed once', async () => {
  const runs = new Runs();
  const { type, count } = typist(() => undefined);
  const click = request();
  const first = runs.execute(click, type);
  const second = runs.execute(click, type);
  expect([first.isNew, second.isNew]).toEqual([true, false]);
  expect(await second.answer).toEqual(await first.answer);
  expect(await runs.execute(click, type).answer).toMatchObject({
    type: 'run',
    run: { runId: click.runId, command: { state: 'typed' } },
  });
  expect(count()).toBe(1);
});

test('a click that was refused says so each time, and may be sent with another way to go on', async () => {
  const runs = new Runs();
  let busy: Busy | undefined = 'program';
  const { type, count } = typist(() => busy);
  const click = request('refuse');
  expect(await runs.execute(click, type).answer).toMatchObject({ type: 'run-refused', busy: 'program' });
  busy = undefined;
  expect(await runs.execute(click, type).answer).toMatchObject({ type: 'run-refused' });
  const insisting = request('interrupt', click.runId);
  for (let time = 0; time < 3; time++) {
    expect(await runs.execute(insisting, type).answer).toMatchObject({ type: 'run' });
  }
  expect(await runs.execute(request('cut-line', click.runId), type).answer).toMatchObject({
    type: 'run',
  });
  expect(count()).toBe(1);
});

test('two ways to go on at once type once', async () => {
  const runs = new Runs();
  const { type, count } = typist(() => undefined);
  const click = request('refuse');
  const answers = (['refuse', 'interrupt', 'cut-line'] as const).map(
    (whenBusy) => runs.execute(request(whenBusy, click.runId), type).answer,
  );
  for (const answer of await Promise.all(answers)) expect(answer.type).toBe('run');
  expect(count()).toBe(1);
});

test.each([
  ['our own error with its reason', new LabError('lost', 'no hosts'), { code: 'lost', message: 'no hosts' }],
  [
    'a foreign error without it',
    new Error('no hosts'),
    { code: 'internal', message: expect.not.stringContaining('no hosts') as string },
  ],
])('a command that cannot be typed is refused, by %s, and not tried again', async (_, thrown, error) => {
  const runs = new Runs();
  let tries = 0;
  const click = request();
  const fail = () => {
    tries += 1;
    return Promise.reject(thrown);
  };
  for (let time = 0; time < 2; time++) {
    expect(await runs.execute(click, fail).answer).toMatchObject({
      type: 'run-refused',
      error,
    });
  }
  expect(tries).toBe(1);
});

test('what became of a command is reported of the newest run of its block, and survives until the hosts go back', async () => {
  let nowMs = 1_000;
  const runs = new Runs(() => nowMs);
  const { type } = typist(() => undefined);
  const first = request();
  await runs.execute(first, type).answer;
  expect(runs.note(first.runId, { state: 'running' })).toMatchObject({
    command: { state: 'running', elapsedMs: 0 },
  });
  nowMs = 3_500;
  expect(runs.reports()).toMatchObject([
    { runId: first.runId, command: { state: 'running', elapsedMs: 2_500 } },
  ]);
  const done = { state: 'done', exitCode: 3, durationMs: 2_500 } as const;
  expect(runs.note(first.runId, done)).toMatchObject({ stepId: 'step', block: 0, command: done });
  // A page that sends its request again is told how the command has done.
  expect(await runs.execute(first, type).answer).toMatchObject({ type: 'run', run: { command: done } });

  const second = request();
  await runs.execute(second, type).answer;
  expect(runs.note(first.runId, done)).toBeUndefined();
  expect(runs.reports()).toMatchObject([{ runId: second.runId, command: { state: 'typed' } }]);
  expect([runs.has('step'), runs.has('other')]).toEqual([true, false]);
  runs.forget(['step']);
  expect(runs.reports()).toEqual([]);
  expect(runs.has('step')).toBe(false);
});
