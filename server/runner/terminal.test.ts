/** A real pty with a local program; what runs in it on a host makes no difference to the terminal. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { ShellMark } from './shell-marks';
import { Terminal, windowBytes, type Viewer } from './terminal';

const marks: ShellMark[] = [];
let exits = 0;
const open = (scrollbackBytes: number, ...command: [string, ...string[]]): Terminal => {
  const created = new Terminal(
    'source',
    'source',
    0,
    { onMark: (mark) => marks.push(mark), onExit: () => (exits += 1) },
    scrollbackBytes,
  );
  created.open(command);
  terminals.push(created);
  return created;
};
const terminals: Terminal[] = [];
afterEach(() => {
  for (const terminal of terminals.splice(0)) terminal.close();
  marks.length = 0;
  exits = 0;
});

class Recorder implements Viewer {
  bytes = Buffer.alloc(0);
  gaps: number[] = [];
  first: number | undefined;
  output(offset: number, bytes: Buffer): void {
    this.first ??= offset;
    // Each frame begins where the one before it ended.
    expect(offset).toBe(this.first + this.bytes.length);
    this.bytes = Buffer.concat([this.bytes, bytes]);
  }
  gap(offset: number): void {
    this.gaps.push(offset);
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition() && Date.now() < deadline) await sleep(5);
  expect(condition()).toBe(true);
}

test('who attaches late, or again, gets exactly the bytes that are missing', async () => {
  const terminal = open(1 << 20, 'sh', '-c', 'printf "\\303\\050\\377 first"; sleep 0.2; printf second');
  const early = new Recorder();
  terminal.attach(early, 0);
  await until(() => exits === 1);
  const late = new Recorder();
  terminal.attach(late, 0);
  const rest = new Recorder();
  terminal.attach(rest, 5);
  expect(early.bytes).toEqual(Buffer.from('\xc3\x28\xff firstsecond', 'latin1'));
  expect(late.bytes).toEqual(early.bytes);
  expect(rest.bytes).toEqual(early.bytes.subarray(5));
});

test('who comes back after too long is told where the output goes on', async () => {
  // It stays: output of a program that ends at once can be lost.
  const terminal = open(1000, 'sh', '-c', 'seq 1 1000; read -r line');
  // 9 numbers of 1 digit, 90 of 2, 900 of 3, one of 4, and CR LF after each.
  await until(() => terminal.endOffset === 9 * 3 + 90 * 4 + 900 * 5 + 6);
  const back = new Recorder();
  terminal.attach(back, 10);
  expect(back.gaps).toEqual([terminal.endOffset - 1000]);
  expect(back.bytes.toString()).toMatch(/999\r\n1000\r\n$/);
});

test('what was on the screen is not lost when the page is turned', () => {
  const terminal = open(1 << 16, 'sleep', '60');
  terminal.resize(80, 24);
  const viewer = new Recorder();
  terminal.attach(viewer, 0);
  terminal.turnPage('time went back');
  expect(viewer.bytes.toString()).toMatch(/time went back[^]*(\r\n){24}$/);
});

test('a flood stops at a viewer who parses nothing, and goes on as soon as they do', async () => {
  const terminal = open(4 << 20, 'yes');
  const viewer = new Recorder();
  const attachment = terminal.attach(viewer, 0);
  await until(() => viewer.bytes.length >= windowBytes);
  // Long enough for a pty that is not paused to put out many megabytes.
  await sleep(500);
  const stuckAt = terminal.endOffset;
  await sleep(300);
  expect(terminal.endOffset).toBe(stuckAt);
  // One window and at most a frame of 32 KiB beyond it.
  expect(viewer.bytes.length).toBeLessThan(windowBytes + 32 * 1024);
  while (viewer.bytes.length < stuckAt) attachment.acknowledge(viewer.bytes.length);
  await until(() => {
    attachment.acknowledge(viewer.bytes.length);
    return terminal.endOffset > stuckAt;
  });
});

test('a flood that nobody watches drains, and the newest of it is kept', async () => {
  const kept = 64 * 1024;
  // 5 MB of lines end in CR LF once the pty has passed them.
  const terminal = open(kept, 'sh', '-c', 'yes 123 | head -n 1000000; echo the-end; sleep 60');
  await until(() => terminal.endOffset === 5_000_000 + 'the-end\r\n'.length);
  const viewer = new Recorder();
  terminal.attach(viewer, 0);
  expect(viewer.bytes.subarray(-9).toString()).toBe('the-end\r\n');
  expect(viewer.bytes).toHaveLength(kept);
});

test('an acknowledgement of bytes that were never sent is ignored', async () => {
  const terminal = open(4 << 20, 'yes');
  const viewer = new Recorder();
  const attachment = terminal.attach(viewer, 0);
  await until(() => viewer.bytes.length >= windowBytes);
  attachment.acknowledge(Number.MAX_SAFE_INTEGER);
  await sleep(200);
  expect(viewer.bytes.length).toBeLessThan(windowBytes + 32 * 1024);
});

test('knows from the shell’s marks whether it waits at its prompt', async () => {
  const terminal = open(
    1 << 20,
    'sh',
    '-c',
    'printf "\\033]133;B\\007"; read -r line; printf "\\033]133;C\\007"; sleep 0.2; printf "\\033]133;D;3\\007"; sleep 60',
  );
  await until(() => terminal.idle);
  terminal.runCommand('true');
  expect(terminal.idle).toBe(false);
  await until(() => marks.length === 3);
  expect(marks.at(-1)).toEqual({ kind: 'command-end', exitCode: 3 });
});

test('a prompt that is drawn again while the command is on its way makes no busy terminal idle', async () => {
  const [prompt, start, end] = ['\\033]133;B\\007', '\\033]133;C\\007', '\\033]133;D;0\\007'];
  const terminal = open(
    1 << 20,
    'sh',
    '-c',
    `stty -echo; printf '${prompt}'; read a; printf '${prompt}again'; read b; printf '${start}run${end}${prompt}'; read c`,
  );
  const recorder = new Recorder();
  terminal.attach(recorder, 0);
  await until(() => terminal.idle);
  terminal.runCommand('first');
  await until(() => recorder.bytes.includes('again'));
  expect(terminal.idle).toBe(false);
  terminal.write(Buffer.from('\r'));
  await until(() => terminal.idle);
  expect(marks.map((mark) => mark.kind)).toEqual(['prompt', 'command-start', 'command-end', 'prompt']);
});
