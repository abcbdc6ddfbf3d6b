/** A repainted screen is the one that was there, and goes on as that would have. */
import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { OutputLog } from './output-log';
import { Screen } from './screen';
import { SequenceScanner } from './sequences';
import { pageTerminal, show, write } from '../../testing/screen';

vi.setConfig({ testTimeout: 120_000 });

const columns = 40;
const rows = 10;

class Followed {
  readonly log: OutputLog;
  readonly screen: Screen;
  readonly scanner = new SequenceScanner();

  constructor(capacity = 4 << 20) {
    this.log = new OutputLog(capacity, { columns, rows });
    this.screen = new Screen(this.log, this.scanner, () => undefined);
  }

  put(output: string | Uint8Array): void {
    const bytes = Buffer.from(output);
    const isWhole = this.scanner.unfinished === 0;
    this.scanner.scan(bytes);
    this.log.append(bytes, isWhole);
    this.screen.wake();
  }

  resize(size: { columns: number; rows: number }): void {
    this.log.note({ type: 'size', size });
    this.screen.wake();
  }

  async snapshot() {
    await this.screen.settled();
    return this.screen.snapshot();
  }
}

const followed: Followed[] = [];
const follow = (capacity?: number): Followed => {
  const made = new Followed(capacity);
  followed.push(made);
  return made;
};
afterEach(() => {
  for (const { screen } of followed.splice(0)) screen.dispose();
});

const csi = (...finals: string[]) => finals.map((final) => `\x1b[${final}`);
/** Output of programs, with everything that vim, less, tmux and a shell do to the screen. */
const output = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.string({ unit: fc.constantFrom(...Array.from('abcq dé漢→\u0301')), maxLength: 60 }),
  },
  { weight: 4, arbitrary: fc.constantFrom('\r\n', '\n', '\r', '\b', '\t', '\x1bM', '\x1bD') },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ...csi('m', '1;31m', '42m', '7m', '0m', '38;5;200m', '48;2;1;2;3m', '3m', '4m', '4:3m', '9;53m'),
      ...csi('H', '3;5H', '10;40H', 'J', '2J', '1J', 'K', '1K', '2K', 'A', 'B', '5C', '3D', 'G', '4d'),
      ...csi('L', '2M', 'P', '3@', '2X', 'S', 'T', '2;8r', 'r', '?25l', '?25h', '?7l', '?7h'),
      ...csi('?1h', '?1l', '?2004h', '?1000h', '?1002h', '?1006h', '?1000l', '4h', '4l', '2 q', '!p'),
      ...csi('?6h', '?6l', '3b', 's', 'u'),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...csi('?1049h', '?1049l', '?47h', '?47l', '?1048h', '?1048l', '3g', 'g', '20h', '20l', '?45h'),
      ...csi('1"q', '0"q', '?J', '?2K', '?1003h', '?1016h', '?1004h'),
      ...['7', '8', 'H', '(0', '(B', '(A', ')0', ')B', '*0', '+0', 'n', 'o', '=', 'c'].map(
        (final) => `\x1b${final}`,
      ),
      ...['\x0e', '\x0f', '\x1b]0;title\x07'],
    ),
  },
);

test('an attached page sees what has been there all the time, wherever the output was cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(output, { maxLength: 60 }), fc.nat(), async (parts, seed) => {
      const whole = Buffer.from(parts.join(''));
      const cut = seed % (whole.length + 1);
      const always = pageTerminal(columns, rows);
      await write(always, whole);

      const { put, snapshot } = bound(follow());
      put(whole.subarray(0, cut));
      const { data, position, size } = await snapshot();
      const late = pageTerminal(size.columns, size.rows);
      await write(late, data);
      await write(late, whole.subarray(position.offset));
      expect(show(late, 30)).toEqual(show(always, 30));
    }),
    { numRuns: 200 },
  );
});

const bound = (made: Followed) => ({
  put: made.put.bind(made),
  snapshot: made.snapshot.bind(made),
});

/** State that no cell shows: each of these outputs, and what comes after it, which tells whether the state is there. */
test.each([
  ['a set that DECRC brought back while another one is designated', '\x1b(0\x1b[?1049l', 'aa'],
  ['a set that was saved and is designated no more', '\x1b(0\x1b7\x1b(B\x1b8', 'aa'],
  ['a restored set, and a designated one that is shifted to', '\x1b(0\x1b7\x1b(B\x1b8', '\x0faa'],
  ['the British set', '\x1b(A', '##'],
  ['G2', '\x1b*0\x1bn', 'aa\x0fa'],
  ['G3', '\x1b+0', 'a\x1boaa'],
  ['a saved cursor', '\x1b[3;5H\x1b[1;31m\x1b(0\x1b7\x1b[H\x1b[m\x1b(B', 'a\x1b8a'],
  ['the saved cursor behind an alternate screen', '\x1b[3;5H\x1b7\x1b[?47h\x1b[7;7H', '\x1b[?47l\x1b8x'],
  ['the cursor that the alternate screen saved', '\x1b[?47h\x1b[3;5H\x1b7\x1b[?47l', '\x1b[?47h\x1b8x'],
  ['the scroll region behind an alternate screen', '\x1b[2;4r\x1b[?1049h', '\x1b[?1049l1\n2\n3\n4\n5'],
  ['tab stops', '\x1b[3g\x1b[5G\x1bH\x1b[H', 'a\tb\tc'],
  ['line feeds that return', '\x1b[20h', 'ab\nc'],
  [
    'origin mode, and the cursor outside the region',
    '\x1b[2;4r\x1b[?6h\x1b[?47h\x1b[8;8H\x1b[?47l',
    'x\x1b[Hy',
  ],
  ['a pending wrap where nothing stands', '\x1b[?47h\x1b[3;40Hx\x1b[?47l', 'yz'],
  ['a combining character that follows', 'e', '\u0301x'],
  ['a combining character that has nothing to join', 'e\x1b[m\u0301', 'x'],
  ['a character to repeat, where printing inserts', 'abcd\x1b[2G\x1b[4hx', '\x1b[3b'],
  ['protected characters', '\x1b[1"qab\x1b[0"qcd', '\r\x1b[?K'],
  ['a curly underline', '\x1b[4:3mab', 'cd'],
])('keeps %s', async (_, before, after) => {
  const { put, snapshot } = bound(follow());
  put(before);
  const [always, late] = [pageTerminal(columns, rows), pageTerminal(columns, rows)];
  await write(always, before);
  await write(late, (await snapshot()).data);
  expect(show(late)).toEqual(show(always));
  await write(always, after);
  await write(late, after);
  expect(show(late)).toEqual(show(always));
});

test('characters that are wide, wrapped or behind the last column come back where they were', async () => {
  const texts = [
    '漢'.repeat(30),
    `${'x'.repeat(39)}漢y`,
    '\x1b[10;40H漢',
    `\x1b[42m${'y'.repeat(40)}`,
    `${'z'.repeat(38)}漢`,
  ];
  for (const text of texts) {
    const { put, snapshot } = bound(follow());
    put(text);
    const [always, late] = [pageTerminal(columns, rows), pageTerminal(columns, rows)];
    await write(always, `${text}w`);
    await write(late, (await snapshot()).data);
    await write(late, 'w');
    expect(show(late)).toEqual(show(always));
  }
});

test('is painted in the size that it has where it is', async () => {
  const made = follow();
  made.put(`${'long '.repeat(30)}\r\n`);
  made.resize({ columns: 70, rows: 12 });
  made.put('more');
  const { size, data } = await made.snapshot();
  expect(size).toEqual({ columns: 70, rows: 12 });
  const always = pageTerminal(columns, rows);
  await write(always, `${'long '.repeat(30)}\r\n`);
  always.resize(70, 12);
  await write(always, 'more');
  const late = pageTerminal(70, 12);
  await write(late, data);
  expect(show(late)).toEqual(show(always));
});

test('a flood of plain text leaves what it would leave if all of it was parsed', async () => {
  const line = fc.string({ unit: fc.constantFrom(...Array.from('abcdefgh ij')), maxLength: 90 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { minLength: 3, maxLength: 12 }),
      fc.constantFrom('\r\n', '\r\n', '\n\r', '\n'),
      fc.constantFrom('', '\x1b[31m\x1b[5;7Hred', '\x1b[?1049h\x1b[3;3H', '\x1b[2;8r'),
      async (lines, ending, before) => {
        const flood = lines.join(ending).repeat(Math.ceil(700_000 / lines.join(ending).length));
        const { put, snapshot } = bound(follow());
        put(before);
        await snapshot();
        put(flood);
        put('\r\nthe end');
        const { data } = await snapshot();
        const always = pageTerminal(columns, rows, 2000);
        await write(always, `${before}${flood}\r\nthe end`);
        const late = pageTerminal(columns, rows, 2000);
        await write(late, data);
        expect(show(late)).toEqual(show(always));
      },
    ),
    { numRuns: 15, endOnFailure: true },
  );
});

test('a screen that is asked for in the middle of a flood is the one that is there then', async () => {
  const part = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom('one line of it\r\n', `${'x'.repeat(90)}\r\n`, '\ta tab\r\n') },
    { weight: 2, arbitrary: fc.constantFrom('\x07', '\x0b', '\x0c', '\x7f', '\0', '\n', '\r') },
  );
  const rare = fc.constantFrom('\x0e', '\x0e', '\x0f', '\x1b[32m', 'é', '\x1b[3;7r', '\x1b[r');
  const flood = fc.tuple(fc.array(part, { minLength: 3, maxLength: 8 }), rare).map(([parts, after]) => {
    const text = parts.join('');
    return text.repeat(Math.ceil(900_000 / text.length)) + after;
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(flood, { minLength: 2, maxLength: 4 }),
      fc.infiniteStream(fc.nat({ max: 20 })),
      async (floods, asks) => {
        const capacity = 1_200_000;
        const made = follow(capacity);
        const { put, snapshot } = bound(made);
        // Another character set, that is shifted to and back from.
        const written = Buffer.from(`\x1b)0${floods.join('')}`);
        const always = pageTerminal(columns, rows, 2000);
        let checked = 0;
        let asked: ReturnType<typeof snapshot> | undefined;
        const check = async (): Promise<void> => {
          if (!asked) return;
          const { data, position } = await asked;
          asked = undefined;
          await write(always, written.subarray(checked, position.offset));
          checked = position.offset;
          const late = pageTerminal(columns, rows, 2000);
          await write(late, data);
          expect(show(late)).toEqual(show(always));
        };
        for (let at = 0; at < written.length;) {
          // What comes in one turn of the event loop while a screen is waited for may be skipped past what was asked for.
          const end = at + (asked ? 250_000 : 16_384);
          put(written.subarray(at, end));
          at = end;
          // As a terminal's pty is paused.
          do await new Promise(setImmediate);
          while (made.screen.lag > capacity / 2);
          if (asks.next().value !== 0) continue;
          await check();
          asked = snapshot();
        }
        await check();
      },
    ),
    { numRuns: 15, endOnFailure: true },
  );
});

test('knows the commands that are still in the scrollback, and on which lines they are', async () => {
  const made = follow();
  const { log, screen } = made;
  const mark = (mark: Parameters<OutputLog['note']>[0]) => {
    log.note(mark);
    screen.wake();
  };
  const run = (command: number, output: string) => {
    mark({ type: 'prompt-start' });
    made.put('$ ');
    mark({ type: 'mark', mark: { kind: 'prompt' } });
    made.put(`command ${command}\r\n`);
    mark({ type: 'mark', mark: { kind: 'start', command, atMs: 1 } });
    made.put(output);
    mark({ type: 'mark', mark: { kind: 'end', command, exitCode: command, durationMs: 5 } });
  };
  run(1, 'one\r\n');
  run(2, 'two\r\nthree');
  mark({ type: 'prompt-start' });
  made.put('$ ');
  mark({ type: 'mark', mark: { kind: 'prompt' } });
  expect((await made.snapshot()).commands).toEqual([
    { command: 1, promptLine: 0, outputLine: 1, endLine: 2, exitCode: 1, durationMs: 5 },
    { command: 2, promptLine: 2, outputLine: 3, endLine: 5, exitCode: 2, durationMs: 5 },
    { command: 3, promptLine: 4, outputLine: null, endLine: null, exitCode: null, durationMs: null },
  ]);
  expect(screen.isAtEmptyPrompt).toBe(true);
  made.put('x');
  await made.snapshot();
  expect(screen.isAtEmptyPrompt).toBe(false);
  // At the beginning of the line, with something behind the cursor.
  made.put('\b');
  await made.snapshot();
  expect(screen.isAtEmptyPrompt).toBe(false);
  made.put('\x1b[K');
  await made.snapshot();
  expect(screen.isAtEmptyPrompt).toBe(true);
  made.put('\r\n'.repeat(5000));
  expect((await made.snapshot()).commands.map(({ command }) => command)).toEqual([3]);
});

test('output that makes xterm.js fail, or fills its memory, does neither here', async () => {
  const made = follow();
  made.put('\x1b[10;40Hx\x1b[1Jstill here');
  expect((await made.snapshot()).data.toString()).toContain('still here');
  made.put(`\r\ne${'\u0301'.repeat(200_000)}`);
  const late = pageTerminal(columns, rows);
  await write(late, (await made.snapshot()).data);
  const line = late.buffer.active.getLine(late.buffer.active.length - 2);
  expect(line?.getCell(5)?.getChars()).toHaveLength(17);
  // A string without end: what comes is part of it for who attaches now, too.
  made.put(`\r\nbefore\x1b]0;${'x'.repeat(100_000)}`);
  const within = pageTerminal(columns, rows);
  const { data, position } = await made.snapshot();
  await write(within, data);
  expect(position.offset).toBe(made.log.end);
  await write(within, 'still the title\x07after');
  expect(show(within).join('\n')).toMatch(/before *after/);
  expect(show(within).join('\n')).not.toContain('title');
});

test('a screen full of colours is painted without its scrollback rather than in megabytes', async () => {
  const made = follow();
  for (let line = 0; line < 1500; line++) {
    let text = '';
    for (let column = 0; column < columns; column++)
      text += `\x1b[38;2;${line % 256};${column};7;48;2;1;2;${column}m.`;
    made.put(`${text}\r\n`);
  }
  const { data } = await made.snapshot();
  expect(data.length).toBeGreaterThan(rows * columns * 20);
  expect(data.length).toBeLessThan(2_000_000);
});
