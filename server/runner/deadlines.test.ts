import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { EndReason } from '../protocol/session';
import { Deadlines, judge, type Limits, type Times, type Verdict } from './deadlines';

const limits: Limits = {
  leaseMs: 30_000,
  idleTimeoutMs: 600_000,
  disconnectedTimeoutMs: 120_000,
  endWarningMs: 60_000,
};
const now = 10_000_000;
const session = { endsAtMs: now + 1_000_000, activeMs: now, leftMs: null };
const goesOn: Verdict = { ends: null, isIdleEndNear: false };

test.each<[string, Partial<Times>, Verdict]>([
  ['a sandbox of nobody goes on', {}, goesOn],
  ['it ends without a lease', { renewedMs: now - 30_001 }, { ends: 'server-stopped' }],
  ['a lease that is as old as it may be is good', { renewedMs: now - 30_000 }, goesOn],
  ['a lost pair stays for a while', { lostMs: now - 120_000, session }, goesOn],
  ['a lost pair ends after that', { lostMs: now - 120_001, session }, { ends: 'host-lost' }],
  ['a lost pair of nobody ends too', { lostMs: now - 120_001 }, { ends: 'host-lost' }],
  ['a session goes on', { session }, goesOn],
  ['a session ends at its time', { session: { ...session, endsAtMs: now } }, { ends: 'total-time' }],
  [
    'the end for want of input comes near',
    { session: { ...session, activeMs: now - 540_001 } },
    { ends: null, isIdleEndNear: true },
  ],
  ['until then nothing is said of it', { session: { ...session, activeMs: now - 540_000 } }, goesOn],
  [
    'a session ends for want of input',
    { session: { ...session, activeMs: now - 600_001 } },
    { ends: 'idle' },
  ],
  [
    'a session without a page goes on for a while',
    { session: { ...session, leftMs: now - 120_000 } },
    goesOn,
  ],
  [
    'a session without a page ends after that',
    { session: { ...session, leftMs: now - 120_001 } },
    { ends: 'disconnected' },
  ],
  [
    'of several reasons the most general is told',
    { renewedMs: 0, lostMs: 0, session: { endsAtMs: 0, activeMs: 0, leftMs: 0 } },
    { ends: 'server-stopped' },
  ],
])('%s', (_, times, verdict) => {
  expect(judge(now, { renewedMs: now, ...times }, limits)).toEqual(verdict);
});

describe('as time passes', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const watched = (state: { endsAtMs?: number; hasPage: boolean }) => {
    const told: (EndReason | { idleEndsAtMs: number | null })[] = [];
    const ending = new AbortController();
    const deadlines: Deadlines = new Deadlines(
      { ...limits, leaseMs: Infinity },
      {
        state: () => state,
        onEnd: (reason) => {
          told.push(reason);
          ending.abort();
        },
        onWarning: () => told.push({ idleEndsAtMs: deadlines.idleEndsAtMs }),
      },
    );
    deadlines.watch(ending.signal);
    return { deadlines, told };
  };

  test('a learner who does nothing is warned once; activity takes the warning back at once', () => {
    const startMs = Date.now();
    const { deadlines, told } = watched({ endsAtMs: startMs + 10_000_000, hasPage: true });
    vi.advanceTimersByTime(590_000);
    expect(told).toEqual([{ idleEndsAtMs: startMs + 600_000 }]);
    deadlines.noteActivity();
    expect(told.slice(1)).toEqual([{ idleEndsAtMs: null }]);
    deadlines.noteActivity();
    vi.advanceTimersByTime(530_000);
    expect(told).toHaveLength(2);
    vi.advanceTimersByTime(600_000);
    expect(told.slice(2)).toEqual([{ idleEndsAtMs: startMs + 1_190_000 }, 'idle']);
  });

  test('time without a page counts from when the last one left, and from a session’s beginning', () => {
    const state: { endsAtMs?: number; hasPage: boolean } = { hasPage: false };
    const { deadlines, told } = watched(state);
    vi.advanceTimersByTime(3_000_000);
    state.endsAtMs = Date.now() + 10_000_000;
    deadlines.restart();
    vi.advanceTimersByTime(110_000);
    state.hasPage = true;
    vi.advanceTimersByTime(300_000);
    state.hasPage = false;
    deadlines.pageLeft();
    vi.advanceTimersByTime(119_000);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(2_000);
    expect(told).toEqual(['disconnected']);
  });
});
