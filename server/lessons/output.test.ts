import { expect, test } from 'vitest';
import { missingLine, plainText, shorten } from './output';

test.each([
  ['a\r\nb\r\n', 'a\nb'],
  ['\u001b[1;31mred\u001b[0m  \r\n\r\n', 'red'],
  ['10 %\r50 %\r100 %\r\ndone', '100 %\ndone'],
  ['long line\rshort\r\n', 'shortline'],
  ['abc\b\bd', 'ad'],
  ['\u0007bell\u001b]0;title\u0007', 'bell'],
])('turns %j into plain text', (output, text) => {
  expect(plainText(output)).toBe(text);
});

test('cuts the middle out of a long text', () => {
  const lines = Array.from({ length: 200 }, (_, index) => `line ${index}`);
  const short = shorten(lines.join('\n')).split('\n');
  expect(short).toHaveLength(91);
  expect(short[60]).toBe('… 110 lines …');
  expect(short.at(-1)).toBe('line 199');
  expect(shorten('x'.repeat(500))).toBe(`${'x'.repeat(400)}…`);
  expect(shorten('a\nb')).toBe('a\nb');
});

test.each([
  ['0', '0', undefined],
  ['a  b', 'x a b y', undefined],
  ['a … c', 'a 1 2 c', undefined],
  ['pid …, label …:c1', 'pid 12, label s0:c1', undefined],
  ['a\n…\nc', 'a\nb\nb\nc', undefined],
  ['c\na', 'a\nc', 'a'],
  ['a.c', 'abc', 'a.c'],
  ['a\na', 'a\nb', 'a'],
  ['…', '', undefined],
])('looks for %j in %j', (expected, output, missing) => {
  expect(missingLine(expected, output)).toBe(missing);
});
