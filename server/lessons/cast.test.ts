import { expect, test } from 'vitest';
import { castLines, parseCast, type CastHead, type CastPart } from './cast';

const head: CastHead = { title: 'A title', columns: 80, rows: 24, beganMs: 1_700_000_000_400 };
const write = (parts: CastPart[]): string => [...castLines(head, parts)].join('');
const bytes = (afterMs: number, data: string | Uint8Array): CastPart => ({
  atMs: head.beganMs + afterMs,
  bytes: typeof data === 'string' ? Buffer.from(data) : data,
});
const lines = (cast: string): unknown[] =>
  cast
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

test('a cast has a head, and each part at its time', () => {
  const parts = [
    bytes(0, '$ '),
    { atMs: head.beganMs + 1500.4, columns: 120, rows: 40 },
    bytes(2000.6, 'ls\r\n'),
  ];
  expect(lines(write(parts))).toEqual([
    {
      version: 2,
      width: 80,
      height: 24,
      timestamp: 1_700_000_000,
      idle_time_limit: 2,
      title: 'A title',
      env: { TERM: 'xterm-256color' },
    },
    [0, 'o', '$ '],
    [1.5, 'r', '120x40'],
    [2.001, 'o', 'ls\r\n'],
  ]);
  expect(parseCast(write(parts))).toEqual({
    columns: 80,
    rows: 24,
    events: [
      { at: 0, text: '$ ' },
      { at: 2.001, text: 'ls\r\n' },
    ],
  });
});

test('time never goes backwards', () => {
  const at = [5, 3, 7, -1].map((afterMs) => bytes(afterMs, 'x'));
  expect(parseCast(write(at)).events.map((event) => event.at)).toEqual([0.005, 0.005, 0.007, 0.007]);
});

test('any output is one JSON string, wherever it is split', () => {
  const said = '\ufeff"],\n[9,"o","\u0000\x1b]52;c;eA==\x07\u2028\u009b31m\u007f\\é€😀 \ufeff';
  const all = Buffer.from(said);
  for (let cut = 0; cut <= all.length; cut++) {
    const cast = write([bytes(0, all.subarray(0, cut)), bytes(1, all.subarray(cut))]);
    expect(cast.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    expect(
      parseCast(cast)
        .events.map(({ text }) => text)
        .join(''),
    ).toBe(said);
  }
});

test('invalid UTF-8 and half a character at the end become U+FFFD', () => {
  const cast = write([
    bytes(0, Buffer.from([0x61, 0xff, 0xed, 0xa0, 0x80, 0x62])),
    bytes(1, Buffer.from([0xe2, 0x82])),
  ]);
  const text = parseCast(cast)
    .events.map((event) => event.text)
    .join('');
  expect(text).toMatch(/^a\ufffd+b\ufffd$/);
});
