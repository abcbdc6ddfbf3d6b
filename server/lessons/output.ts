/** What a command has printed, as text: for the page, for comparisons, for whoever reads a report. */
import { stripVTControlCharacters } from 'node:util';

/** What a terminal would show of a line in which a program went back to the beginning to write over it. */
function overwritten(line: string): string {
  return line
    .replace(/\r+$/, '')
    .split('\r')
    .reduce((shown, part) => part + shown.slice(part.length), '');
}

/** Text without escape sequences, without blanks at the ends of lines, and without empty lines at its end. */
export function plainText(output: string): string {
  return stripVTControlCharacters(output)
    .split('\n')
    .map((line) => {
      let shown = overwritten(line);
      while (/[^\b]\x08/.test(shown)) shown = shown.replace(/[^\b]\x08/, '');
      // Bells and their like show nothing.
      return shown.replace(/[\x00-\x08\x0b-\x1f]/g, '').trimEnd();
    })
    .join('\n')
    .replace(/\n+$/, '');
}

/** Long outputs have their beginning and end shown. */
const kept = { first: 60, last: 30, columns: 400 };

/** Cuts the middle out of a long text, and the ends of long lines. */
export function shorten(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => (line.length > kept.columns ? `${line.slice(0, kept.columns)}…` : line));
  const cut = lines.length - kept.first - kept.last;
  if (cut <= 1) return lines.join('\n');
  return [...lines.slice(0, kept.first), `… ${cut} lines …`, ...lines.slice(-kept.last)].join('\n');
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Blanks are as good as one another, and `…` stands for anything. */
const patternOf = (line: string): RegExp =>
  new RegExp(
    line
      .trim()
      .split('…')
      .map((part) => part.trim().split(/\s+/).map(escape).join('\\s+'))
      .join('.*'),
  );

/**
 * Compares what a lesson says with what was printed: each line must be found in a line of the output, in the same order.
 * A line `…` says nothing.
 * @returns the first line that is not there
 */
export function missingLine(expected: string, output: string): string | undefined {
  const lines = output.split('\n');
  let from = 0;
  for (const line of expected.split('\n')) {
    if (line.replaceAll('…', '').trim() === '') continue;
    const pattern = patternOf(line);
    const found = lines.slice(from).findIndex((one) => pattern.test(one));
    if (found < 0) return line;
    from += found + 1;
  }
  return undefined;
}
