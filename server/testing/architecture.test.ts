/** ARCHITECTURE.md is read instead of the code: what it names must be there. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../root';

const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
const sections = new Map(
  text.split(/^## /m).map((section): [string, string] => {
    const [title = '', ...lines] = section.split('\n');
    return [title, lines.join('\n')];
  }),
);

interface Hop {
  number: number;
  /** Each file with the names that the hop says are in it. */
  places: { file: string; names: string[] }[];
}

/** The numbered items of a section. A path is followed by the functions that are meant in it. */
function hopsOf(section: string): Hop[] {
  return Array.from(section.matchAll(/^(\d+)\. (.*)$/gm), ([, number, line = '']): Hop => {
    const places: Hop['places'] = [];
    for (const [, code = ''] of line.matchAll(/`([^`]+)`/g)) {
      if (/^(app|server|docker)\/.*\.\w+$/.test(code)) places.push({ file: code, names: [] });
      else places.at(-1)?.names.push(code);
    }
    return { number: Number(number), places };
  });
}

/** Whether a source file declares a name: a function, class, method, property or constant. */
function declares(source: string, name: string): boolean {
  const escaped = name.replace(/[#$]/g, '\\$&');
  return new RegExp(
    `(\\b(function|class|const)\\s+${escaped}\\b)|(^\\s*(?:(?:static|async|readonly|get|export|void)\\s+)*\\*?${escaped}(?:<[^>]*>)?\\s*[(=:])`,
    'm',
  ).test(source);
}

describe.each(['The way of a byte', 'The way of a click', 'The way of a lesson'])('%s', (title) => {
  const hops = hopsOf(sections.get(title) ?? '');

  test('is told in numbered hops', () => {
    expect(hops.length).toBeGreaterThan(8);
    expect(hops.map(({ number }) => number)).toEqual(hops.map((_, index) => index + 1));
  });

  test.each(hops)('hop $number is where it says', ({ places }) => {
    expect(places.length).toBeGreaterThan(0);
    for (const { file, names } of places) {
      const source = readFileSync(join(root, file), 'utf8');
      expect(names, `${file} is named without a function`).not.toEqual([]);
      const missing = names.filter((name) => !declares(source, name));
      expect(missing, `not declared in ${file}`).toEqual([]);
    }
  });
});

test('every path in it exists', () => {
  const paths = Array.from(
    text.matchAll(/`((?:app|server|docker|lessons|docs)\/[\w./-]*)`/g),
    ([, path = '']) => path,
  );
  expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test('the glossary is at most 25 lines', () => {
  const rows = (sections.get('Glossary') ?? '').split('\n').filter((line) => line.startsWith('| '));
  expect(rows.length).toBeGreaterThan(10);
  expect(rows.length).toBeLessThanOrEqual(25);
});
