/** The scanner goes the ways of the terminal's own parser, wherever its input is cut. */
import * as headless from '@xterm/headless';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SequenceScanner } from './sequences';

const { Terminal } = ('default' in headless ? headless.default : headless) as typeof headless;

/** Private to xterm.js: its state, 0 for none, and the bytes of a character that is not complete. */
interface Internals {
  _core: {
    _inputHandler: { _parser: { currentState: number }; _utf8Decoder: { interim: Uint8Array } };
  };
}

const scan = (...chunks: string[]) => {
  const scanner = new SequenceScanner();
  return chunks.flatMap((chunk) => scanner.scan(Buffer.from(chunk)).map(({ mark }) => mark));
};

test('finds marks between other output, ended by BEL or ST', () => {
  expect(scan('a\x1b]133;A\x07\x1b[31mb\x1b]133;B\x1b\\c\u009d133;C\u009c')).toEqual([
    { kind: 'prompt-start' },
    { kind: 'prompt' },
    { kind: 'start' },
  ]);
  expect(scan('\x1b]133;D;130\x07')).toEqual([{ kind: 'end', exitCode: 130 }]);
});

test('finds a mark that is cut anywhere', () => {
  const text = 'x\x1b]133;D;7\x07y';
  for (let at = 0; at <= text.length; at++) {
    expect(scan(text.slice(0, at), text.slice(at))).toEqual([{ kind: 'end', exitCode: 7 }]);
  }
});

test('is not led astray by forged and broken marks', () => {
  expect(scan('\x1b]133;D;99999\x07', '\x1b]133;D\x07', '\x1b]133;D;-1\x07')).toEqual([
    { kind: 'end', exitCode: null },
    { kind: 'end', exitCode: null },
    { kind: 'end', exitCode: null },
  ]);
  expect(
    scan('\x1b]133;X\x07', '\x1b]1337;B\x07', '\x1b]133;B\x18', `\x1b]133;B${'x'.repeat(100)}\x07`),
  ).toEqual([]);
  // Within another string a mark is part of that.
  expect(scan('\x1bPq\u009d')).toEqual([]);
});

test('says where a mark ends', () => {
  const scanner = new SequenceScanner();
  expect(scanner.scan(Buffer.from('é\x1b]133;B\x07rest'))).toEqual([{ mark: { kind: 'prompt' }, end: 10 }]);
  expect(scanner.unfinished).toBe(0);
  scanner.scan(Buffer.from('abc\x1b[3'));
  expect(scanner.unfinished).toBe(3);
  scanner.scan(Buffer.from('1m\xc3', 'latin1'));
  expect(scanner.unfinished).toBe(1);
});

const pieces = [
  ...[
    '\x1b',
    '[',
    ']',
    'P',
    'X',
    '^',
    '_',
    '\\',
    '\x07',
    '\x18',
    '\x1a',
    '\x7f',
    '\n',
    ' ',
    '(',
    '0',
    ';',
    '?',
    '>',
    ':',
  ],
  ...[
    'm',
    'h',
    'B',
    '133;B',
    'é',
    '→',
    '𐍈',
    '\u0301',
    '\u0085',
    '\u0090',
    '\u0098',
    '\u009b',
    '\u009c',
    '\u009d',
    '\u009f',
  ],
].map((text) => Buffer.from(text));

test(
  'knows of any output whether its end is within a sequence or a character',
  { timeout: 60_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...pieces), { maxLength: 25 }),
        fc.nat(),
        async (parts, seed) => {
          const whole = Buffer.concat(parts);
          const output = whole.subarray(0, seed % (whole.length + 1));
          const terminal = new Terminal({ allowProposedApi: true, logLevel: 'off' });
          await new Promise<void>((resolve) => {
            terminal.write(output, resolve);
          });
          const { _parser, _utf8Decoder } = (terminal as unknown as Internals)._core._inputHandler;
          const isWhole = _parser.currentState === 0 && _utf8Decoder.interim[0] === 0;
          terminal.dispose();
          const scanner = new SequenceScanner();
          // In two chunks, cut anywhere.
          scanner.scan(output.subarray(0, seed % 7));
          scanner.scan(output.subarray(seed % 7));
          expect(scanner.unfinished === 0).toBe(isWhole);
        },
      ),
      { numRuns: 1000 },
    );
  },
);
