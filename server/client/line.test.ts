import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  answerMs,
  closedLine,
  deadlineOf,
  helloMs,
  next,
  noticeMs,
  pingAfterMs,
  silentSince,
  wakeAnswerMs,
  type Line,
  type LineEvent,
} from './line';
import type { Socket } from './socket';

const socket: Socket = { send: () => undefined, close: () => undefined };
/** Just under one, for the longest waits. */
const random = 0.999_999;

/** The state after these events, each at its time. */
const after = (...events: [nowMs: number, event: LineEvent][]): Line =>
  events.reduce((line, [nowMs, event]) => next(line, event, { nowMs, random }), closedLine);

const open: [number, LineEvent][] = [
  [0, { type: 'open' }],
  [0, { type: 'socket', socket }],
  [0, { type: 'hello' }],
];
const failed: LineEvent = { type: 'failed', fault: false };
const time: LineEvent = { type: 'time' };
const waitOf = (line: Line, nowMs: number): number =>
  Math.round((line.state === 'waiting' ? line.retryAtMs : NaN) - nowMs);

describe('a line', () => {
  test('opens after a socket and a hello', () => {
    expect(after([0, { type: 'open' }])).toMatchObject({
      state: 'opening',
      attempt: 1,
      socket: undefined,
      giveUpAtMs: helloMs + 500,
    });
    expect(after([0, { type: 'open' }], [1, { type: 'hello' }]).state).toBe('opening');
    expect(after(...open)).toMatchObject({ state: 'open', attempt: 1, socket, liveness: { state: 'heard' } });
  });

  test('tries again after a wait, in a new attempt', () => {
    const waiting = after(...open, [10, failed]);
    expect(waiting).toMatchObject({ state: 'waiting', attempt: 1, failures: { count: 1, least: 0 } });
    expect(waitOf(waiting, 10)).toBe(500);
    expect(next(waiting, time, { nowMs: 100, random })).toBe(waiting);
    expect(next(waiting, time, { nowMs: 600, random })).toMatchObject({ state: 'opening', attempt: 2 });
  });

  test('waits at least half as long', () => {
    const line = next(after(...open), failed, { nowMs: 0, random: 0 });
    expect(waitOf(line, 0)).toBe(250);
  });

  test('waits longer after each failure, and starts over once a terminal is attached', () => {
    let line = after(...open, [0, failed]);
    const waits: number[] = [];
    for (let nowMs = 0; waits.length < 6;) {
      waits.push(waitOf(line, nowMs));
      nowMs = deadlineOf(line) ?? NaN;
      line = next(next(line, time, { nowMs, random }), failed, { nowMs, random });
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000]);
    const moment = { nowMs: 0, random };
    for (const event of [
      { type: 'wake' },
      { type: 'socket', socket },
      { type: 'hello' },
      { type: 'attached' },
      failed,
    ] as const)
      line = next(line, event, moment);
    expect(waitOf(line, 0)).toBe(500);
  });

  test('waits long after a fault of this page, even after a hello, until a terminal is attached', () => {
    const fault: LineEvent = { type: 'failed', fault: true };
    const faulty = after(...open, [0, fault]);
    expect(waitOf(faulty, 0)).toBe(8000);
    const again: [number, LineEvent][] = [
      [8000, time],
      [8000, { type: 'socket', socket }],
      [8000, { type: 'hello' }],
    ];
    expect(waitOf(after(...open, [0, fault], ...again, [8000, failed]), 8000)).toBe(8000);
    const works: [number, LineEvent] = [8000, { type: 'attached' }];
    expect(waitOf(after(...open, [0, fault], ...again, works, [8000, failed]), 8000)).toBe(500);
  });

  test('gives up an attempt without a hello', () => {
    const line = after([0, { type: 'open' }], [0, { type: 'socket', socket }], [helloMs + 500, time]);
    expect(line.state).toBe('waiting');
  });

  test('that is silent is pinged, then reported, then abandoned', () => {
    const pinged = after(...open, [pingAfterMs, time]);
    expect(pinged).toMatchObject({ liveness: { state: 'pinged', answerByMs: pingAfterMs + answerMs } });
    expect(silentSince(pinged)).toBeNull();
    const silent = next(pinged, time, { nowMs: pingAfterMs + noticeMs, random });
    expect(silent).toMatchObject({ state: 'open', liveness: { state: 'silent' } });
    expect(silentSince(silent)).toBe(0);
    const heard = next(silent, { type: 'heard' }, { nowMs: 8000, random });
    expect(heard).toMatchObject({ heardAtMs: 8000, liveness: { state: 'heard' } });
    expect(next(silent, time, { nowMs: pingAfterMs + answerMs, random }).state).toBe('waiting');
  });

  test('when woken, retries at once if it waits or its attempt is stale, and pings if it is open', () => {
    const wake: LineEvent = { type: 'wake' };
    expect(after(...open, [0, failed], [1, wake])).toMatchObject({ state: 'opening', attempt: 2 });
    expect(after([0, { type: 'open' }], [1999, wake])).toMatchObject({ state: 'opening', attempt: 1 });
    expect(after([0, { type: 'open' }], [2000, wake])).toMatchObject({ state: 'opening', attempt: 2 });
    const woken = after(...open, [100, wake]);
    expect(woken).toMatchObject({ liveness: { state: 'pinged', answerByMs: 100 + wakeAnswerMs } });
    expect(after(...open, [pingAfterMs, time], [pingAfterMs + 10, wake])).toMatchObject({
      liveness: { state: 'pinged', pingedAtMs: pingAfterMs, answerByMs: pingAfterMs + 10 + wakeAnswerMs },
    });
  });

  test('that is closed stays closed until it is opened', () => {
    const closed = after(...open, [0, { type: 'close' }]);
    const events: LineEvent[] = [
      { type: 'close' },
      { type: 'socket', socket },
      failed,
      { type: 'heard' },
      { type: 'hello' },
      { type: 'attached' },
      { type: 'wake' },
      time,
    ];
    for (const event of events) expect(next(closed, event, { nowMs: 99_999, random })).toBe(closed);
    expect(next(closed, { type: 'open' }, { nowMs: 0, random })).toMatchObject({ attempt: 2 });
  });

  test('always has a deadline unless it is closed, and never reuses an attempt’s number', () => {
    const event = fc.constantFrom<LineEvent>(
      { type: 'open' },
      { type: 'socket', socket },
      failed,
      { type: 'failed', fault: true },
      { type: 'heard' },
      { type: 'hello' },
      { type: 'attached' },
      { type: 'wake' },
      { type: 'close' },
      time,
    );
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 20_000 }), event), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (sequence) => {
        let line = closedLine;
        let nowMs = 0;
        for (const [ms, one] of sequence) {
          nowMs += ms;
          const before = line;
          line = next(line, one, { nowMs, random: 0.5 });
          expect(deadlineOf(line) === undefined).toBe(line.state === 'closed');
          const isNew = line.state === 'opening' && (before.state !== 'opening' || line !== before);
          if (isNew && one.type !== 'socket') expect(line.attempt).toBe(before.attempt + 1);
          else expect(line.attempt).toBe(before.attempt);
          // A passed deadline changes the state.
          const deadline = deadlineOf(line) ?? Infinity;
          if (deadline !== Infinity)
            expect(next(line, time, { nowMs: deadline, random: 0.5 })).not.toBe(line);
        }
      }),
    );
  });
});
