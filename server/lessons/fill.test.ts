import { expect, test } from 'vitest';
import { fillValues, splitAtValues } from './fill';

test('splits at declared values and leaves other angle brackets alone', () => {
  expect(splitAtValues('curl <address>:80/ <file >out', ['address'])).toEqual([
    { text: 'curl ' },
    { valueName: 'address' },
    { text: ':80/ <file >out' },
  ]);
  expect(splitAtValues('cat <address>', [])).toEqual([{ text: 'cat <address>' }]);
});

test('fills in values, each as often as it is used', () => {
  const values = { one: '10.88.0.2', two: '$& twice' };
  expect(fillValues('<one> <two> <one>', ['one', 'two'], values)).toEqual({
    text: '10.88.0.2 $& twice 10.88.0.2',
  });
});

test('names each unknown value once', () => {
  expect(fillValues('<one> <two> <two>', ['one', 'two'], { one: '1' })).toEqual({ missing: ['two'] });
});

test('does not confuse values with properties of Object.prototype', () => {
  expect(fillValues('<constructor>', ['constructor'], {})).toEqual({ missing: ['constructor'] });
});
