import { expect, test } from 'vitest';
import { maxPieces, OutputTimes } from './output-times';

const capacity = 1 << 20;

test('what comes within 20 ms is one piece, unless it is much', () => {
  const times = new OutputTimes(capacity);
  for (const [offset, atMs] of [
    [0, 0],
    [10, 5],
    [20, 19],
    [30, 20],
    [40, 39],
    [30 + 16 * 1024, 39],
    [20_000, 1000],
  ] as const) {
    times.note(offset, atMs);
  }
  expect(times.from(0)).toEqual([
    { offset: 0, atMs: 0 },
    { offset: 30, atMs: 20 },
    { offset: 30 + 16 * 1024, atMs: 39 },
    { offset: 20_000, atMs: 1000 },
  ]);
  expect(times.from(31)).toHaveLength(2);
});

test('a piece goes with its last byte', () => {
  const times = new OutputTimes(capacity);
  for (const offset of [0, 10, 20]) times.note(offset, offset * 1000);
  times.forget(9);
  expect(times.from(0).map(({ offset }) => offset)).toEqual([0, 10, 20]);
  times.forget(10);
  expect(times.from(0).map(({ offset }) => offset)).toEqual([10, 20]);
  times.forget(1000);
  expect(times.from(0).map(({ offset }) => offset)).toEqual([20]);
});

test('three hours of a byte now and then are bounded, and told to some seconds; long pauses stay as they were', () => {
  const times = new OutputTimes(capacity);
  let atMs = 0;
  const came: number[] = [];
  while (atMs < 3 * 3600 * 1000) {
    times.note(came.length, atMs);
    came.push(atMs);
    atMs += came.length % 5000 === 0 ? 60_000 : 25;
    // Not each time: to count them takes as long as there are pieces.
    if (came.length % 997 === 0 && times.from(0).length > maxPieces) throw new Error('too many pieces');
    if (came.length > 300_000) break;
  }
  const pieces = times.from(0);
  expect(pieces.length).toBeGreaterThan(maxPieces / 4);
  let index = 0;
  let worstMs = 0;
  came.forEach((ms, offset) => {
    while ((pieces[index + 1]?.offset ?? Infinity) <= offset) index++;
    worstMs = Math.max(worstMs, ms - (pieces[index]?.atMs ?? NaN));
  });
  expect(worstMs).toBeLessThan(10_000);
  for (let offset = 5000; offset < came.length; offset += 5000) {
    expect(pieces).toContainEqual({ offset, atMs: came[offset] });
  }
});

test.each([1 << 18, 1 << 20, 1 << 28])('a flood into a log of %i bytes is bounded', (kept) => {
  const times = new OutputTimes(kept);
  const chunk = 4096;
  for (let offset = 0; offset < 3 * kept; offset += chunk) {
    times.note(offset, offset / 50_000);
    times.forget(offset - kept);
  }
  const pieces = times.from(2 * kept);
  expect(pieces.length).toBeGreaterThan(8);
  expect(times.from(0).length).toBeLessThanOrEqual(maxPieces);
});
