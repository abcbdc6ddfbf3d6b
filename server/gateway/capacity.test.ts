import { describe, expect, test } from 'vitest';
import type { RunnerStatus } from '../protocol/runner';
import { CapacityMeter } from './capacity';

const gibibyte = 2 ** 30;
const minuteMs = 60_000;
const limits = { maxSessions: 500, hostMemoryMiB: 1024, memoryReserveMiB: 1024, sessionOverheadMiB: 896 };
/** Both hosts' memory and the overhead that the sandbox's control group allows. */
const mostBytes = (2 * 1024 + 896) * 2 ** 20;

const used = (memoryBytes: number, cpuSeconds: number): RunnerStatus => ({
  phase: 'ready',
  lessonId: 'demo',
  sessionId: 'session',
  connections: 1,
  memoryBytes,
  cpuSeconds,
  readyMs: 1,
});

describe('CapacityMeter', () => {
  test('takes the worst for granted until a pair was measured', () => {
    const capacity = new CapacityMeter(limits, [], 64).capacity(33 * gibibyte, 0);
    expect(capacity).toMatchObject({
      pairs: Math.floor((32 * gibibyte) / mostBytes),
      limitedBy: 'memory',
      isMeasured: false,
      pairCpus: null,
    });
  });

  test('has no room on a machine that has only its reserve left', () => {
    expect(new CapacityMeter(limits).capacity(gibibyte / 2, 0).pairs).toBe(0);
    // Those that run have theirs already, but there is no room for more than that.
    expect(new CapacityMeter(limits).capacity(gibibyte / 2, 3).pairs).toBeLessThanOrEqual(3);
  });

  test('counts by the peaks of pairs that learners had, all but the greediest', () => {
    const peaks = [...new Array<number>(18).fill(gibibyte / 2), gibibyte, 2 * gibibyte];
    const capacity = new CapacityMeter(limits, peaks, 64).capacity(11 * gibibyte, 5);
    expect(capacity).toMatchObject({ pairs: 5 + 20, pairBytes: gibibyte / 2, isMeasured: true });
  });

  test('does not take a pair that has just begun for what it will be', () => {
    const meter = new CapacityMeter(limits, [], 64);
    meter.observe('a', used(gibibyte / 4, 0), 0);
    meter.observe('a', used(gibibyte / 4, 1), 9 * minuteMs);
    expect(meter.capacity(9 * gibibyte, 1).isMeasured).toBe(false);
    meter.observe('a', used(gibibyte / 4, 2), 10 * minuteMs);
    expect(meter.capacity(9 * gibibyte, 1)).toMatchObject({ isMeasured: true, pairBytes: gibibyte / 4 });
  });

  test('remembers the peak of a pair that has ended, not what it had at last', () => {
    const meter = new CapacityMeter(limits, [], 64);
    meter.observe('a', used(gibibyte, 0), 0);
    meter.observe('a', used(gibibyte / 4, 1), 20 * minuteMs);
    expect(meter.forget('a')).toBe(true);
    expect(meter.peaks).toEqual([gibibyte]);
    expect(meter.forget('a')).toBe(false);
  });

  test('does not believe a runner that says more than a pair can have', () => {
    const meter = new CapacityMeter(limits, [], 64);
    meter.observe('a', used(1e15, 0), 0);
    meter.observe('a', used(1e15, 1), 20 * minuteMs);
    expect(meter.capacity(9 * gibibyte, 1).pairBytes).toBe(mostBytes);
  });

  test('is limited by processors when pairs keep them busy', () => {
    const meter = new CapacityMeter(limits, [gibibyte / 4], 2);
    for (let second = 0; second <= 12 * 60; second += 5)
      meter.observe('a', used(0, second / 2), second * 1000);
    expect(meter.capacity(100 * gibibyte, 1)).toMatchObject({ pairs: 3, limitedBy: 'cpu', pairCpus: 0.5 });
  });

  test('does not take the beginning of a pair, or a lone command, for what learners do on average', () => {
    const meter = new CapacityMeter(limits, [gibibyte / 4], 2);
    for (let second = 0; second <= 5 * 60; second += 5) meter.observe('a', used(0, second), second * 1000);
    expect(meter.capacity(100 * gibibyte, 1)).toMatchObject({
      pairs: 397,
      limitedBy: 'memory',
      pairCpus: null,
    });
  });

  test('never exceeds what the configuration allows', () => {
    const meter = new CapacityMeter({ ...limits, maxSessions: 4 }, [gibibyte / 4], 64);
    expect(meter.capacity(100 * gibibyte, 0)).toMatchObject({ pairs: 4, limitedBy: 'configuration' });
  });
});
