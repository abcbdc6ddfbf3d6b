/** Each click is executed once. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Busy } from '../../protocol/messages';
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
  expect(await second.result).toEqual(await first.result);
  expect(await runs.execute(click, type).result).toMatchObject({ result: 'typed', runId: click.runId });
  expect(count()).toBe(1);
});

test('a click that was refused says so each time, and may be sent with another way to go on', async () => {
  const runs = new Runs();
  let busy: Busy | undefined = 'program';
  const { type, count } = typist(() => busy);
  const click = request('refuse');
  expect(await runs.execute(click, type).result).toMatchObject({ result: 'refused', busy: 'program' });
  busy = undefined;
  expect(await runs.execute(click, type).result).toMatchObject({ result: 'refused' });
  const insisting = request('interrupt', click.runId);
  for (let time = 0; time < 3; time++) {
    expect(await runs.execute(insisting, type).result).toMatchObject({ result: 'typed' });
  }
  expect(await runs.execute(request('cut-line', click.runId), type).result).toMatchObject({
    result: 'typed',
  });
  expect(count()).toBe(1);
});

test('two ways to go on at once type once', async () => {
  const runs = new Runs();
  const { type, count } = typist(() => undefined);
  const click = request('refuse');
  const results = (['refuse', 'interrupt', 'cut-line'] as const).map(
    (whenBusy) => runs.execute(request(whenBusy, click.runId), type).result,
  );
  for (const result of await Promise.all(results)) expect(result.result).toBe('typed');
  expect(count()).toBe(1);
});

test('a command that cannot be typed is refused with the reason, and not tried again', async () => {
  const runs = new Runs();
  let tries = 0;
  const click = request();
  const fail = () => {
    tries += 1;
    return Promise.reject(new Error('no hosts'));
  };
  for (let time = 0; time < 2; time++) {
    expect(await runs.execute(click, fail).result).toMatchObject({
      result: 'refused',
      error: { code: 'internal', message: expect.stringContaining('no hosts') as string },
    });
  }
  expect(tries).toBe(1);
});
