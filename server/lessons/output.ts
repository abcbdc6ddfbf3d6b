/** Turns a command's output into plain text, for the page, for comparisons and for reports. */
import { stripVTControlCharacters } from 'node:util';

/** A line as a terminal shows it after carriage returns overwrote its beginning. */
function overwritten(line: string): string {
  return line
    .replace(/\r+$/, '')
    .split('\r')
    .reduce((shown, part) => part + shown.slice(part.length), '');
}

/** Text without escape sequences, without white space at the ends of lines, and without empty lines at its end. */
export function plainText(output: string): string {
  return stripVTControlCharacters(output)
    .split('\n')
    .map((line) => {
      let shown = overwritten(line);
      while (/[^\b]\x08/.test(shown)) shown = shown.replace(/[^\b]\x08/, '');
      // Control characters such as the bell are invisible.
      return shown.replace(/[\x00-\x08\x0b-\x1f]/g, '').trimEnd();
    })
    .join('\n')
    .replace(/\n+$/, '');
}

/** How much of a long output is kept: first lines, last lines, columns of a line. */
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

/** Any white space matches any other, and `…` matches any text. */
const patternOf = (line: string): RegExp =>
  new RegExp(
    line
      .trim()
      .split('…')
      .map((part) => part.trim().split(/\s+/).map(escape).join('\\s+'))
      .join('.*'),
  );

/**
 * Compares the expected output with the real one: a line of the output must contain each expected line, in the same order.
 * A line `…` matches any lines.
 * @returns the first expected line that is missing
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
