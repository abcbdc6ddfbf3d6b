import { expect, test } from 'vitest';
import { spellRuntime } from './time';

test.each([
  [0, '0 ms'],
  [999.4, '999 ms'],
  [1_000, '1.0 s'],
  [9_949, '9.9 s'],
  [9_950, '10 s'],
  [59_400, '59 s'],
  [65_000, '1 min 5 s'],
  [3_600_000, '1 h 0 min'],
])('%d ms are %s', (ms, words) => {
  expect(spellRuntime(ms)).toBe(words);
});
