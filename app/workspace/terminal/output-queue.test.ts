import { Terminal } from '@xterm/headless';
import { describe, expect, test } from 'vitest';
import { OutputQueue } from './output-queue';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Uses the real parser, because the queue depends on when it parses and when it calls back. */
function create() {
  const terminal = new Terminal({ cols: 20, rows: 5, allowProposedApi: true });
  const log: string[] = [];
  let said: string[] = [];
  const sent: string[] = [];
  terminal.onData((text) => said.push(text));
  const queue = new OutputQueue(
    (data, parsed) => {
      terminal.write(data, parsed);
    },
    (replayed) => {
      if (!replayed) sent.push(...said);
      said = [];
    },
  );
  const line = (): string => terminal.buffer.active.getLine(0)?.translateToString(true) ?? '';
  const done = (): Promise<void> =>
    new Promise((resolve) => {
      queue.then(resolve);
    });
  return { terminal, queue, log, sent, line, done };
}

describe('OutputQueue', () => {
  test('runs an action between two pieces after the first and before the second', async () => {
    const { queue, line, log, terminal, done } = create();
    queue.write(bytes('one '), false, () => log.push('parsed one'));
    queue.then(() => log.push(`first: ${line()}`));
    queue.then(() => {
      terminal.resize(30, 5);
    });
    queue.write(bytes('two'), false, () => log.push('parsed two'));
    queue.write(bytes(' three'), false, () => log.push('parsed three'));
    queue.then(() => log.push(`second: ${line()}`));
    expect(log).toEqual([]);
    await done();
    expect(log).toEqual(['parsed one', 'first: one ', 'parsed two', 'parsed three', 'second: one two three']);
    expect(terminal.cols).toBe(30);
  });

  test('runs an action at once when nothing is queued before it', () => {
    const { queue, log } = create();
    queue.then(() => log.push('now'));
    expect(log).toEqual(['now']);
  });

  test('distinguishes answers to queries in a replay from all others', async () => {
    const { queue, sent, done } = create();
    queue.write(bytes('\x1b[5n'), true, () => undefined);
    queue.write(bytes('\x1b[6n'), false, () => undefined);
    queue.write(bytes('abc\x1b[6n'), true, () => undefined);
    queue.write(bytes('\x1b[6n'), false, () => undefined);
    await done();
    expect(sent).toEqual(['\x1b[1;1R', '\x1b[1;4R']);
  });

  test('knows during parsing whether a piece is a replay', async () => {
    const { queue, terminal, log, done } = create();
    terminal.parser.registerOscHandler(52, (data) => {
      log.push(`${data} ${queue.replaying ? 'replayed' : 'live'}`);
      return true;
    });
    queue.write(bytes('\x1b]52;a\x07'), true, () => undefined);
    queue.write(bytes('\x1b]52;b\x07'), false, () => undefined);
    await done();
    expect(log).toEqual(['a replayed', 'b live']);
  });
});
