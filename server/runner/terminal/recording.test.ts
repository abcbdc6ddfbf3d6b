/** A terminal's log becomes a cast; whoever plays it sees what the terminal has shown. */
import { expect, test } from 'vitest';
import { parseCast } from '../../lessons/cast';
import { OutputLog } from './output-log';
import { castOf } from './recording';
import { SequenceScanner } from './sequences';

class Recorded {
  nowMs = 1_700_000_000_000;
  readonly #scanner = new SequenceScanner();
  readonly log: OutputLog;

  constructor(capacity = 1 << 20) {
    this.log = new OutputLog(capacity, { columns: 80, rows: 24 }, () => this.nowMs);
  }
  put(output: string | Uint8Array, afterMs = 0): void {
    this.nowMs += afterMs;
    const bytes = Buffer.from(output);
    const isWhole = this.#scanner.unfinished === 0;
    this.#scanner.scan(bytes);
    this.log.append(bytes, isWhole);
  }
  resize(columns: number, rows: number, afterMs = 0): void {
    this.nowMs += afterMs;
    this.log.note({ type: 'size', size: { columns, rows } });
  }
  get cast(): string {
    return [...castOf(this.log, 'Lesson: source')].join('');
  }
  get lines(): unknown[] {
    return this.cast
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
  }
  get text(): string {
    return parseCast(this.cast)
      .events.map(({ text }) => text)
      .join('');
  }
}

test('a terminal without output', () => {
  expect(new Recorded().lines).toMatchObject([{ version: 2, width: 80, height: 24 }]);
});

test('output and sizes have the times at which they came', () => {
  const terminal = new Recorded();
  terminal.resize(100, 30);
  terminal.put('$ ', 500);
  terminal.resize(100, 30, 1000);
  terminal.put('l', 1000);
  terminal.put('s', 10);
  terminal.log.note({ type: 'mark', mark: { kind: 'prompt' } });
  terminal.resize(120, 40, 3000);
  terminal.put('\r\n', 250);
  terminal.put('€', 60_000);
  expect(terminal.lines).toEqual([
    expect.objectContaining({
      width: 100,
      height: 30,
      timestamp: 1_700_000_000,
      idle_time_limit: 2,
      title: 'Lesson: source',
    }),
    [0, 'o', '$ '],
    [2, 'o', 'ls'],
    [5.01, 'r', '120x40'],
    [5.26, 'o', '\r\n'],
    [65.26, 'o', '€'],
  ]);
});

test('a character and a sequence that come in two parts are whole', () => {
  const terminal = new Recorded();
  const euro = Buffer.from('€');
  terminal.put(euro.subarray(0, 1));
  terminal.put(euro.subarray(1), 1000);
  terminal.put('\x1b[3', 1000);
  terminal.put('1mred', 1000);
  expect(terminal.text).toBe('€\x1b[31mred');
});

test('when the beginning is gone it begins with no half of anything, and says so', () => {
  const capacity = 64 * 1024;
  const unit = '\x1b[38;2;100;100;100m€😀\x1b[0m\x1b]0;a title\x07';
  for (let shift = 0; shift < Buffer.byteLength(unit); shift++) {
    const terminal = new Recorded(capacity);
    terminal.put('x'.repeat(shift));
    for (let count = 0; count < 2000; count++) terminal.put(unit, 1);
    terminal.put('the end');
    const { text } = terminal;
    expect(text).toMatch(/^\x1b\[2m\[the beginning is no longer kept\]\x1b\[0m\r\n/);
    const rest = text.slice(text.indexOf('\n') + 1);
    expect(rest.startsWith(unit)).toBe(true);
    expect(rest.endsWith('the end')).toBe(true);
    expect(Buffer.byteLength(rest)).toBeGreaterThan(capacity - 21 * Buffer.byteLength(unit));
    expect(terminal.lines[0]).toMatchObject({ title: 'Lesson: source (the beginning is no longer kept)' });
  }
});

test('a string that does not end, and is all that is kept, is not shown', () => {
  const terminal = new Recorded(64 * 1024);
  terminal.put('before\x1b]0;');
  for (let count = 0; count < 100; count++) terminal.put('A'.repeat(1024), 100);
  expect(terminal.text).toBe('\x1b[2m[the beginning is no longer kept]\x1b[0m\r\n');
  terminal.put('\x07shown');
  terminal.put(' again', 100);
  expect(terminal.text).toMatch(/\r\n again$/);
});

test('the size at the beginning is the one at the oldest kept byte', () => {
  const terminal = new Recorded(64 * 1024);
  terminal.resize(90, 20);
  for (let count = 0; count < 100; count++) terminal.put('line\r\n'.repeat(200), 30);
  terminal.resize(70, 10);
  expect(terminal.lines[0]).toMatchObject({ width: 90, height: 20 });
  expect(terminal.lines.at(-1)).toEqual([expect.any(Number), 'r', '70x10']);
});
