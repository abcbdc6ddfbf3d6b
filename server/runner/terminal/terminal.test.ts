/** A real pty with a local program; what runs in it on a host makes no difference to the terminal. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { maxUngivenBytes } from './input';
import { Terminal, type TerminalEvents } from './terminal';
import { TestPage } from '../../testing/page';
import { maxUnparsedBytes } from './attachment';

const scrollback = 1 << 20;
let exits = 0;
let prompts = 0;
const idles: boolean[] = [];
const runId = '0f3d0f5c-9c9e-4a39-8f0a-6a1d2b3c4d5e';
const runs: Parameters<TerminalEvents['onRun']>[] = [];
const terminals: Terminal[] = [];
const open = (command: [string, ...string[]], scrollbackBytes = scrollback): Terminal => {
  const created = new Terminal(
    'source',
    'source',
    0,
    'source',
    {
      onIdle: (idle) => idles.push(idle),
      onPrompt: () => (prompts += 1),
      onRun: (id, state) => runs.push([id, state]),
      onExit: () => (exits += 1),
    },
    scrollbackBytes,
  );
  created.open(command);
  terminals.push(created);
  return created;
};
const shell = (script: string): Terminal => open(['sh', '-c', script]);
const [promptStart, prompt, start, end] = [
  '\\033]133;A\\007',
  '\\033]133;B\\007',
  '\\033]133;C\\007',
  '\\033]133;D;0\\007',
];

// They end what hangs. Nothing here is a matter of speed: a machine may be busy with other things.
const waitMs = 240_000;
vi.setConfig({ testTimeout: 300_000 });

afterEach(() => {
  for (const terminal of terminals.splice(0)) terminal.dispose();
  exits = prompts = 0;
  idles.length = 0;
  runs.length = 0;
});

const until = (condition: () => boolean): Promise<void> =>
  vi.waitFor(
    () => {
      expect(condition()).toBe(true);
    },
    { timeout: waitMs, interval: 5 },
  );

test('who attaches late, or again, gets exactly the bytes that are missing', async () => {
  const terminal = shell('printf "\\303\\050\\377 first"; sleep 0.2; printf second');
  const early = new TestPage(terminal, { from: 0 });
  await until(() => exits === 1);
  const late = new TestPage(terminal, { from: 0 });
  const rest = new TestPage(terminal, { from: 5 });
  for (const page of [early, late, rest]) await page.caughtUp();
  expect(early.bytes).toEqual(Buffer.from('\xc3\x28\xff firstsecond', 'latin1'));
  expect(late.bytes).toEqual(early.bytes);
  expect(rest.bytes).toEqual(early.bytes.subarray(5));
  expect([early, late, rest].map(({ screens }) => screens)).toEqual([0, 0, 0]);
});

test('who has nothing, or comes back after too long, is given the screen and what follows it', async () => {
  const terminal = shell(
    'yes 12345678 | head -n 200000; printf last; read -r line; printf more; read -r line',
  );
  await until(() => terminal.log.end === 200_000 * 10 + 4);
  const pages = [new TestPage(terminal), new TestPage(terminal, { from: 10 })];
  for (const page of pages) {
    await page.caughtUp();
    expect(page.latest('attached')).toMatchObject({ screen: true, offset: terminal.log.end });
    expect(page.latest('screen')).toMatchObject({ offset: terminal.log.end, columns: 80, rows: 24 });
    expect(page.screen?.toString()).toMatch(/^(12345678\r\n){1500,}last/);
  }
  pages[0]?.type('\n');
  await until(() => pages.every(({ bytes }) => bytes.includes('more')));
});

test('what was on the screen is not lost when the page is turned', async () => {
  const terminal = open(['sleep', '60']);
  const page = new TestPage(terminal, { from: 0 });
  terminal.noticeOnFreshScreen('rewound');
  await page.caughtUp();
  expect(page.bytes.toString()).toMatch(/rewound[^]*(\r\n){24}$/);
});

test('a notice is seen though the program before it ended within a sequence', async () => {
  const terminal = shell('printf "\\033]0;title"');
  await until(() => exits === 1);
  terminal.notice('look here');
  const page = new TestPage(terminal);
  await page.caughtUp();
  expect(page.screen?.toString()).toContain('look here');
});

test('a program that ends while the page is behind takes nothing of its output with it', async () => {
  const terminal = shell('yes 1234567 | head -n 200000; printf the-end');
  const page = new TestPage(terminal, { from: 0, isManual: true });
  // The program waits for the page then.
  await until(() => terminal.log.end > maxUnparsedBytes);
  while (exits === 0 || page.attachment.pending > 0) {
    while (page.take(32 * 1024));
    page.acknowledge();
    await sleep(1);
  }
  expect(page.bytes.length).toBe(200_000 * 9 + 7);
  expect(page.bytes.subarray(-7).toString()).toBe('the-end');
});

test('a flood stops at an active page that parses nothing, and goes on as soon as it does', async () => {
  const terminal = open(['yes']);
  const page = new TestPage(terminal, { from: 0, isManual: true });
  const takeAll = () => {
    while (page.take(32 * 1024));
  };
  await until(() => {
    takeAll();
    return page.bytes.length >= maxUnparsedBytes;
  });
  // More than this, and the pty is paused.
  await until(() => page.attachment.behind > 2 * maxUnparsedBytes);
  const stuckAt = terminal.log.end;
  // Long enough for many megabytes of output, unless the pty is paused.
  await sleep(500);
  takeAll();
  expect(terminal.log.end).toBe(stuckAt);
  expect(page.bytes.length).toBe(maxUnparsedBytes);
  await until(() => {
    page.acknowledge();
    takeAll();
    return terminal.log.end > stuckAt;
  });
});

test('a string that no program ends stops nothing, however little is kept', async () => {
  const written = 4 + 60_000;
  const terminal = open(
    ['sh', '-c', 'printf "\\033]0;"; head -c 60000 /dev/zero | tr "\\0" x; sleep 60'],
    64 * 1024,
  );
  const page = new TestPage(terminal, { from: 0, isManual: true });
  // Half of what is kept, where a page that has parsed nothing stops the program.
  await until(() => terminal.log.end > 32 * 1024);
  await until(() => {
    while (page.take(32 * 1024));
    page.acknowledge();
    return page.end === written;
  });
});

test('a page on a slow link is less behind', async () => {
  const terminal = open(['yes']);
  const page = new TestPage(terminal, { from: 0, isManual: true, window: 8 * 1024 });
  await until(() => page.attachment.behind > 16 * 1024);
  // Long enough for many megabytes of output, unless the pty is paused.
  await sleep(500);
  // Twice the window, and what was read from the pty at once.
  expect(terminal.log.end).toBeLessThan(64 * 1024);
});

test('pages that are not used, or only look on, never hold the program up; they are given the screen', async () => {
  const terminal = open(['yes']);
  const used = new TestPage(terminal, { from: 0 });
  const unused = new TestPage(terminal, { from: 0, isManual: true });
  const viewer = new TestPage(terminal, { from: 0, isManual: true, role: 'viewer' });
  await until(() => used.bytes.length > 4 * scrollback);
  for (const page of [unused, viewer]) {
    while (page.attachment.unsent > scrollback) {
      page.take(1);
      await sleep(20);
    }
    await until(() => page.take(32 * 1024) && page.screens === 1);
    expect(page.begin).toBeGreaterThan(3 * scrollback);
  }
});

test('a flood that nobody watches drains, and the newest of it is kept', async () => {
  // 5 MB of lines end in CR LF once the pty has passed them.
  const terminal = shell('yes 123 | head -n 1000000; echo the-end; sleep 60');
  const size = 5_000_000 + 'the-end\r\n'.length;
  await until(() => terminal.log.end === size);
  const page = new TestPage(terminal, { from: size - scrollback });
  await page.caughtUp();
  expect(page.bytes.subarray(-9).toString()).toBe('the-end\r\n');
  expect(page.bytes).toHaveLength(scrollback);
});

test('an acknowledgement of bytes that were never sent is ignored', async () => {
  const terminal = open(['yes']);
  const page = new TestPage(terminal, { from: 0, isManual: true });
  await until(() => {
    while (page.take(32 * 1024));
    return page.bytes.length >= maxUnparsedBytes;
  });
  page.acknowledge(Number.MAX_SAFE_INTEGER);
  expect(page.take(32 * 1024)).toBe(false);
});

test('Ctrl-C gets through a flood to a page that is far behind, which then sees the end and not the flood', async () => {
  const terminal = shell('trap "echo interrupted; sleep 60" INT; yes');
  // 20 KB/s, as a page on a slow link would take it.
  const page = new TestPage(terminal, { from: 0, isManual: true, window: 8 * 1024 });
  const viewer = new TestPage(terminal, { from: 0, role: 'viewer' });
  const isInterrupted = (...shown: (Buffer | undefined)[]) =>
    Buffer.concat(shown.flatMap((bytes) => bytes ?? [])).includes('interrupted');
  let passed = 0;
  let passedBefore: number | undefined;
  const link = setInterval(() => {
    if (page.take(2048)) passed += 1;
    page.acknowledge();
    // From when the shell has answered: how soon it can is not the terminal's affair.
    if (isInterrupted(viewer.screen, viewer.bytes)) passedBefore ??= passed;
  }, 100);
  try {
    await until(() => passed === 10);
    page.type('\x03');
    await until(() => passedBefore !== undefined && isInterrupted(page.screen, page.bytes));
    // 1.5 s of this link.
    expect(passed - (passedBefore ?? 0)).toBeLessThan(15);
  } finally {
    clearInterval(link);
  }
});

test('knows from the shell’s marks whether it waits at its prompt', async () => {
  const terminal = shell(
    `printf '${prompt}'; read -r line; printf '${start}'; read -r line; printf '${end}'; sleep 60`,
  );
  const page = new TestPage(terminal, { from: 0 });
  await until(() => terminal.idle);
  expect(await terminal.typeCommand('true', 'refuse', runId)).toBeUndefined();
  expect(terminal.idle).toBe(false);
  await until(() => page.all('mark').length === 2);
  await sleep(150);
  page.type('\n');
  await until(() => page.all('mark').length === 3);
  expect(page.all('mark').map(({ mark }) => mark)).toMatchObject([
    { kind: 'prompt' },
    { kind: 'start', command: 1, runId },
    { kind: 'end', command: 1, runId, exitCode: 0 },
  ]);
  expect(runs).toMatchObject([
    [runId, { state: 'running' }],
    [runId, { state: 'done', exitCode: 0 }],
  ]);
  const [, , ended] = page.all('mark');
  expect(ended?.mark.kind === 'end' && ended.mark.durationMs).toBeGreaterThan(100);
  await until(() => idles.length === 2);
  expect(idles).toEqual([true, false]);
});

test('a run whose shell ends before its command is over is done, without an exit code', async () => {
  const terminal = shell(`printf '${prompt}'; read -r line; printf '${start}'; read -r line`);
  const page = new TestPage(terminal, { from: 0 });
  await until(() => terminal.idle);
  await terminal.typeCommand('true', 'refuse', runId);
  await until(() => runs.length === 1);
  page.type('\n');
  await until(() => exits === 1);
  expect(runs).toEqual([
    [runId, { state: 'running' }],
    [runId, { state: 'done', exitCode: null, durationMs: null }],
  ]);
});

test('a prompt that is drawn again while the command is on its way makes no busy terminal idle', async () => {
  const terminal = shell(
    `stty -echo; printf '${prompt}'; read a; printf '${prompt}again'; read b; printf '${start}run${end}${prompt}'; read c`,
  );
  const page = new TestPage(terminal, { from: 0 });
  await until(() => terminal.idle);
  await terminal.typeCommand('first', 'refuse', runId);
  await until(() => page.bytes.includes('again'));
  expect(terminal.idle).toBe(false);
  page.type('\r');
  await until(() => terminal.idle);
  expect(page.all('mark').map(({ mark }) => mark.kind)).toEqual([
    'prompt',
    'prompt',
    'start',
    'end',
    'prompt',
  ]);
});

test('forged marks without end are remembered only so far, and told only so often', async () => {
  const terminal = shell(`while :; do printf '${prompt}${start}${end}'; done`);
  const page = new TestPage(terminal, { from: 0 });
  const begun = performance.now();
  await until(() => page.bytes.length > 200_000);
  const seconds = (performance.now() - begun) / 1000;
  expect(page.all('mark').length).toBeLessThan(1500 + 100 * seconds);
  expect(idles.length).toBeLessThan(10 + 20 * seconds);
});

// The prompt that these shells print is "$ "; what they read is echoed by the terminal, as by readline.
const promptLoop = `while :; do printf '${end}${promptStart}$ ${prompt}'; read -r line || exit; printf '${start}'; eval "$line"; done`;

test('a command is typed at an empty prompt alone, and says what is in the way', async () => {
  const terminal = shell(promptLoop);
  const page = new TestPage(terminal, { from: 0 });
  await until(() => terminal.idle);
  page.type('half');
  await until(() => page.bytes.includes('half'));
  expect(await terminal.typeCommand('echo no-1', 'refuse', runId)).toBe('half-typed');
  // ^E^U of a line editor is the terminal's own ^U here.
  page.type('\x7f\x7f\x7f\x7f');
  await until(() => page.bytes.includes('\b \b'.repeat(4)));
  expect(await terminal.typeCommand('sleep 100', 'refuse', runId)).toBeUndefined();
  await until(() => page.all('mark').some(({ mark }) => mark.kind === 'start'));
  expect(await terminal.typeCommand('echo no-2', 'refuse', runId)).toBe('program');
  expect(await terminal.typeCommand('echo no-3', 'cut-line', runId)).toBe('program');
  expect(page.bytes.toString()).not.toContain('no-');
});

test('a command can be typed after Ctrl-C, but not into a full-screen program', async () => {
  const terminal = shell(`trap : INT; ${promptLoop}`);
  const page = new TestPage(terminal, { from: 0 });
  await until(() => terminal.idle);
  expect(await terminal.typeCommand('sleep 100', 'refuse', runId)).toBeUndefined();
  await until(() => page.all('mark').some(({ mark }) => mark.kind === 'start'));
  // On a busy machine, a shell may need longer for its prompt than one request waits.
  await vi.waitFor(
    async () => {
      expect(await terminal.typeCommand('echo after', 'interrupt', runId)).toBeUndefined();
    },
    { timeout: waitMs },
  );
  await until(() => page.bytes.includes('\x07after\r\n') && terminal.idle);
  expect(await terminal.typeCommand("printf '\\033[?1049h'; sleep 100", 'refuse', runId)).toBeUndefined();
  await until(() => page.bytes.includes('\x1b[?1049h'));
  expect(await terminal.typeCommand('echo never', 'interrupt', runId)).toBe('full-screen');
  expect(page.bytes.toString()).not.toContain('never');
});

test('a program that Ctrl-C does not end is left alone', async () => {
  const terminal = shell(`trap '' INT; ${promptLoop}`);
  const page = new TestPage(terminal, { from: 0 });
  await until(() => terminal.idle);
  await terminal.typeCommand('sleep 100', 'refuse', runId);
  await until(() => page.all('mark').some(({ mark }) => mark.kind === 'start'));
  expect(await terminal.typeCommand('echo never', 'interrupt', runId)).toBe('program');
  expect(page.bytes.toString()).not.toContain('never');
});

test('two commands at once: the second finds the first in its way', async () => {
  const terminal = shell(promptLoop);
  const page = new TestPage(terminal, { from: 0 });
  await until(() => terminal.idle);
  const results = ['sleep 60', 'echo second'].map((text) => terminal.typeCommand(text, 'refuse', runId));
  expect(await Promise.all(results)).toEqual([undefined, 'program']);
  await page.caughtUp();
  expect(page.bytes.toString()).not.toContain('second');
});

test('the page that is used decides the size, and tells all where it changed', async () => {
  const terminal = shell('trap "stty size" WINCH; printf ready; while :; do sleep 0.05; done');
  const first = new TestPage(terminal, { from: 0, columns: 90, rows: 20 });
  await until(() => first.bytes.includes('ready'));
  const second = new TestPage(terminal, { from: 0, columns: 70, rows: 30 });
  const viewer = new TestPage(terminal, { from: 0, columns: 10, rows: 10, role: 'viewer' });
  for (const page of [first, second]) await page.caughtUp();
  expect(first.latest('size')).toMatchObject({ columns: 90, rows: 20, active: true });
  expect(second.latest('size')).toMatchObject({ columns: 90, rows: 20, active: false });
  second.resize(71, 31);
  terminal.activate(viewer.attachment);
  terminal.activate(second.attachment);
  await until(() => first.bytes.includes('31 71'));
  for (const page of [first, second]) await page.caughtUp();
  expect(first.latest('size')).toMatchObject({ columns: 71, rows: 31, active: false });
  expect(second.latest('size')).toMatchObject({ columns: 71, rows: 31, active: true });
  const before = first.bytes.length;
  second.detach();
  await until(() => first.bytes.subarray(before).includes('20 90'));
  expect(first.latest('size')).toMatchObject({ columns: 90, rows: 20, active: true });
  first.detach();
  await viewer.caughtUp();
  expect(viewer.latest('size')).toMatchObject({ columns: 90, rows: 20, active: false });
});

test('who attaches anew over another connection takes the place of their own', async () => {
  const terminal = open(['cat']);
  const before = new TestPage(terminal, { from: 0, columns: 100, rows: 10 });
  const other = new TestPage(terminal, { from: 0, columns: 50, rows: 10 });
  before.type('abc');
  const after = new TestPage(terminal, { from: 0, columns: 110, rows: 10, clientId: before.clientId });
  expect(before.ended).toBe(true);
  await after.caughtUp();
  expect(after.latest('attached')).toMatchObject({ inputOffset: 3 });
  expect(after.latest('size')).toMatchObject({ columns: 110, active: true });
  expect(other.ended).toBe(false);
});

test('input that comes twice is typed once, and a hole is refused', async () => {
  const terminal = shell('stty raw -echo; printf ">"; cat');
  const page = new TestPage(terminal, { from: 0 });
  await until(() => page.bytes.length === 1);
  terminal.write(page.attachment, 0, Buffer.from('one '));
  terminal.write(page.attachment, 0, Buffer.from('one two '));
  terminal.write(page.attachment, 2, Buffer.from('e '));
  expect(() => {
    terminal.write(page.attachment, 9, Buffer.from('four'));
  }).toThrow('only 8 bytes came before');
  terminal.write(page.attachment, 8, Buffer.from('three'));
  await until(() => page.bytes.toString() === '>one two three');
  await until(() => page.latest('input-ack')?.offset === 13);
});

test('a program that does not read is not waited for in a loop, and a page that goes on is refused', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'lab-'));
  const goOn = join(directory, 'go-on');
  const terminal = shell(
    `stty raw -echo; printf '>'; until [ -e ${goOn} ]; do sleep 0.1; done; cat > /dev/null`,
  );
  const page = new TestPage(terminal, { from: 0 });
  await until(() => page.bytes.length === 1);
  const before = performance.eventLoopUtilization();
  page.type(Buffer.alloc(maxUngivenBytes, 'x'));
  // What the pty holds was given; the rest is left of the limit.
  const given = page.latest('input-ack')?.offset ?? 0;
  expect(given).toBeLessThan(maxUngivenBytes);
  expect(() => {
    page.type(Buffer.alloc(given + 1, 'x'));
  }).toThrow('no room for more');
  await sleep(1000);
  // A loop would leave no time idle, on a machine of any speed.
  expect(performance.eventLoopUtilization(before).utilization).toBeLessThan(0.5);
  await writeFile(goOn, '');
  await until(() => page.latest('input-ack')?.offset === maxUngivenBytes);
  await rm(directory, { recursive: true });
});
