import { Terminal } from '@xterm/headless';
import { beforeEach, describe, expect, test } from 'vitest';
import { CommandTrack, type TrackedCommand } from './command-track';

let terminal: Terminal;
let track: CommandTrack;
let gone: number[];
let told: TrackedCommand[];

const write = (text: string): Promise<void> =>
  new Promise((resolve) => {
    terminal.write(text.replaceAll('\n', '\r\n'), resolve);
  });

/** The output and marks of a shell for one command. */
async function command(number: number, text: string, output: string, exitCode: number): Promise<void> {
  await write('$ ');
  track.mark({ kind: 'prompt' });
  await write(`${text}\n`);
  track.mark({ kind: 'start', command: number, atMs: 0 });
  await write(output);
  track.mark({ kind: 'end', command: number, exitCode, durationMs: 7 });
}

beforeEach(() => {
  terminal = new Terminal({ cols: 20, rows: 6, scrollback: 20, allowProposedApi: true });
  gone = [];
  told = [];
  track = new CommandTrack(
    terminal,
    (one) => told.push(one),
    ({ command: number }) => gone.push(number),
  );
});

describe('CommandTrack', () => {
  test('knows a command’s line, output and outcome', async () => {
    await command(1, 'ls', 'one\ntwo\n', 0);
    await command(2, 'printf', 'no newline', 3);
    const [first, second] = track.commands;
    expect(first).toMatchObject({ state: { state: 'done', exitCode: 0, durationMs: 7 } });
    expect([first?.prompt.line, first?.output.line, first?.end?.line]).toEqual([0, 1, 3]);
    expect(first && track.outputOf(first)).toBe('one\ntwo');
    expect(second && track.outputOf(second)).toBe('no newline');
    expect(second?.state).toMatchObject({ exitCode: 3 });
  });

  test('returns the output of a running command, with a wrapped line as one line', async () => {
    await write('$ ');
    track.mark({ kind: 'prompt' });
    await write('cat\n');
    track.mark({ kind: 'start', command: 1, atMs: 0 });
    await write(`${'x'.repeat(25)}\nend`);
    expect(track.current?.state.state).toBe('running');
    expect(track.current && track.outputOf(track.current)).toBe(`${'x'.repeat(25)}\nend`);
  });

  test('ignores repeated marks', async () => {
    await command(1, 'ls', 'one\n', 0);
    track.mark({ kind: 'start', command: 1, atMs: 0 });
    track.mark({ kind: 'end', command: 1, exitCode: 9, durationMs: 7 });
    expect(track.commands).toHaveLength(1);
    expect(track.commands[0]?.state).toMatchObject({ exitCode: 0 });
  });

  test('forgets a command whose prompt has left the scrollback', async () => {
    await command(1, 'ls', 'one\n', 0);
    await write('\n'.repeat(40));
    expect(gone).toEqual([1]);
    expect(track.commands).toEqual([]);
  });

  test('jumps back and forth, and to the prompt at the end', async () => {
    await command(1, 'a', 'one\n', 0);
    await command(2, 'b', '\n'.repeat(8), 0);
    await command(3, 'c', 'three\n', 0);
    expect(track.jump('previous')?.command).toBe(3);
    expect(track.jump('previous')?.command).toBe(2);
    expect(terminal.buffer.active.viewportY).toBe(track.commands[1]?.prompt.line);
    expect(track.jump('previous')?.command).toBe(1);
    expect(track.jump('previous')?.command).toBe(1);
    expect(track.jump('next')?.command).toBe(2);
    expect(track.current?.command).toBe(2);
    track.jump('next');
    expect(track.jump('next')).toBeUndefined();
    expect(terminal.buffer.active.viewportY).toBe(terminal.buffer.active.baseY);
  });

  test('restores the commands of a repainted screen and continues from there', async () => {
    await write(`$ ls\none\n$ sleep 9\n`);
    track.show([
      { command: 4, promptLine: 0, outputLine: 1, endLine: 2, exitCode: 1, durationMs: 5 },
      { command: 5, promptLine: 2, outputLine: 3, endLine: null, exitCode: null, durationMs: null },
    ]);
    expect(track.commands.map((one) => track.outputOf(one))).toEqual(['one', '']);
    await write('done\n');
    track.mark({ kind: 'end', command: 5, exitCode: 0, durationMs: 9 });
    expect(track.commands[1]).toMatchObject({ state: { state: 'done', durationMs: 9 } });
    expect(track.commands[1] && track.outputOf(track.commands[1])).toBe('done');
  });

  test('keeps a repainted screen’s commands until a full-screen program ends', async () => {
    await write('$ vim\n\x1b[?1049h~ ~');
    track.show([
      { command: 1, promptLine: 0, outputLine: 1, endLine: null, exitCode: null, durationMs: null },
    ]);
    expect(track.commands).toEqual([]);
    await write('\x1b[?1049l');
    expect(track.commands).toHaveLength(1);
    track.mark({ kind: 'end', command: 1, exitCode: 0, durationMs: 9 });
    expect(track.commands[0]?.end?.line).toBe(1);
  });
});
