import { expect, test } from 'vitest';
import { RollingBuffer } from './rolling-buffer';

test('keeps the newest bytes under their offsets, whatever the chunks', () => {
  const model = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 31 + (index >> 8)) & 0xff));
  for (const capacity of [1, 7, 64, 1000]) {
    const buffer = new RollingBuffer(capacity);
    for (let at = 0, step = 0; at < model.length; step++) {
      const size = (step * 13) % (2 * capacity + 3);
      buffer.append(model.subarray(at, at + size));
      at = Math.min(model.length, at + size);
      expect(buffer.end).toBe(at);
      expect(buffer.start).toBe(Math.max(0, at - capacity));
      expect(buffer.read(buffer.start, capacity)).toEqual(model.subarray(buffer.start, at));
      const middle = Math.floor((buffer.start + at) / 2);
      expect(buffer.read(middle, 5)).toEqual(model.subarray(middle, Math.min(at, middle + 5)));
    }
  }
});

test('bytes that are gone, or not there yet, are refused', () => {
  const buffer = new RollingBuffer(4);
  buffer.append(Buffer.from('abcdef'));
  expect(() => buffer.read(1, 1)).toThrow(RangeError);
  expect(() => buffer.read(7, 1)).toThrow(RangeError);
  expect(buffer.read(6, 1)).toHaveLength(0);
});
