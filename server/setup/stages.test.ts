import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../root';
import { formatDuration, parseRecipeStep, siteInputs } from './stages';

test('a change in any room of the server that a page imports rebuilds the site', () => {
  const pages = readdirSync(join(root, 'app'), { recursive: true, encoding: 'utf8' }).filter(
    (path) => /\.tsx?$/.test(path) && !path.includes('.test.'),
  );
  const rooms = pages.flatMap((path) =>
    Array.from(
      readFileSync(join(root, 'app', path), 'utf8').matchAll(/ from '[./]*\/(server\/\w+)/g),
      ([, room]) => room,
    ),
  );
  expect(rooms.length).toBeGreaterThan(0);
  expect(siteInputs).toEqual(expect.arrayContaining([...new Set(rooms)]));
});

describe('parseRecipeStep', () => {
  test('parses steps with and without a percentage, and ignores other lines', () => {
    expect(parseRecipeStep('==> 3/9 Building CRIU')).toEqual({ step: '3/9 Building CRIU' });
    expect(parseRecipeStep('==> 1/9 37% Installing Debian 13')).toEqual({
      step: '1/9 Installing Debian 13',
      percent: 37,
    });
    expect(parseRecipeStep('Setting up criu (4.1.1-1) ...')).toBeUndefined();
  });
});

describe('formatDuration', () => {
  test('shows seconds up to a minute, then minutes and seconds', () => {
    expect([0, 1499, 59_400, 59_600, 125_000].map(formatDuration)).toEqual([
      '0 s',
      '1 s',
      '59 s',
      '1 min 0 s',
      '2 min 5 s',
    ]);
  });
});
