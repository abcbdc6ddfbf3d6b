/**
 * `npm run bench:terminal` measures terminals on this machine: the delay that gateway and runner add, throughput, how soon a
 * reconnecting page has its screen, and memory. It compares them with the plain command and with wetty.
 *
 * Server, clients and hosts share the machine's processors. On a small machine the figures are therefore higher than for a learner
 * whose browser has its own processors.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { z } from 'zod';
import { processIdsOf } from '../testing/leftovers';
import { startTestLab } from '../testing/lab';
import { ControlChannel } from '../host/control-channel';
import { percentile } from '../gateway/percentile';
import { hostNames } from '../protocol/hosts';
import { root } from '../root';
import { sandboxDir, sandboxFiles } from '../store/sandboxes';
import { qemuVersion } from '../template/accelerator';
import {
  hostOf,
  LabPage,
  localShell,
  plainLine,
  textOf,
  untilShellRuns,
  untilShown,
  type Line,
} from './lines';
import { Wetty } from './wetty';
import { launchBrowser } from '../testing/browser';

const lessonId = 'live-migration';

/** Parts that can be measured separately. */
export const terminalBenchParts = [
  'local-echo',
  'local-stream',
  'browser-stream',
  'memory',
  'host-echo',
  'host-stream',
  'reconnect',
] as const;
type Part = (typeof terminalBenchParts)[number];

export interface TerminalBenchOptions {
  /** Takes only a few samples, to check that the benchmark works. */
  quick: boolean;
  wetty: boolean;
  /** Parts to measure; all by default. */
  only?: readonly Part[];
}

// Numbers of samples and amounts of data

interface Amounts {
  /** Number of terminals at once, keys for each in a round, and time between two keys. */
  echo: readonly { terminals: number; keys: number; everyMs: number }[];
  echoRounds: number;
  streamBytes: number;
  hostStreamBytes: number;
  streams: number;
  reconnects: number;
  reloads: number;
  memoryTerminals: number;
  floodMs: number;
}

const full: Amounts = {
  // Fifty terminals of one session get two keys a second each, which is more than one person can type.
  echo: [
    { terminals: 1, keys: 150, everyMs: 50 },
    { terminals: 10, keys: 40, everyMs: 250 },
    { terminals: 50, keys: 20, everyMs: 500 },
  ],
  echoRounds: 3,
  streamBytes: 100_000_000,
  hostStreamBytes: 10_000_000,
  streams: 3,
  reconnects: 20,
  reloads: 10,
  memoryTerminals: 50,
  floodMs: 15_000,
};

const quick: Amounts = {
  echo: [
    { terminals: 1, keys: 20, everyMs: 50 },
    { terminals: 4, keys: 10, everyMs: 250 },
  ],
  echoRounds: 1,
  streamBytes: 4_000_000,
  hostStreamBytes: 800_000,
  streams: 1,
  reconnects: 3,
  reloads: 2,
  memoryTerminals: 6,
  floodMs: 3_000,
};

// The table

interface Row {
  what: string;
  unit: string;
  min: string;
  p50: string;
  p95: string;
  p99: string;
  max: string;
  n: number;
}

function row(what: string, unit: string, samples: readonly number[]): Row {
  const show = (value: number | undefined) => (value ?? NaN).toFixed(unit === 'ms' ? 2 : 1);
  const [min, p50, p95, p99, max] = [0, 0.5, 0.95, 0.99, 1].map((share) => show(percentile(samples, share)));
  return {
    what,
    unit,
    min: min ?? '',
    p50: p50 ?? '',
    p95: p95 ?? '',
    p99: p99 ?? '',
    max: max ?? '',
    n: samples.length,
  };
}

const verdicts: string[] = [];
function verdict(what: string, value: number, unit: string, target: string, isMet: boolean): void {
  verdicts.push(
    `${isMet ? 'met    ' : 'MISSED '} ${what}: ${value.toFixed(unit === 'times' ? 1 : 2)} ${unit} (target ${target})`,
  );
}

// The lab, in a process of its own

const servedSchema = z.object({
  url: z.string(),
  stateDir: z.string(),
  pid: z.number(),
  accelerator: z.string(),
});
type Served = z.infer<typeof servedSchema> & { stop: () => Promise<void> };

/** Runs `bench serve`: prints its address, and stops when its standard input ends. */
export async function serveForBench(withoutPair: boolean): Promise<void> {
  const parts = withoutPair ? { runnerProgram: join(root, 'dist', 'bench-runner.js') } : {};
  const lab = await startTestLab({ maxTerminals: 64 }, { siteDir: root, ...parts });
  const { url, stateDir, accelerator } = lab;
  console.log(JSON.stringify({ url, stateDir, pid: process.pid, accelerator }));
  process.stdin.resume();
  await once(process.stdin, 'end');
  await lab.stop();
}

async function serve(withoutPair: boolean): Promise<Served> {
  const program = process.argv[1] ?? '';
  const parameters = ['serve', ...(withoutPair ? ['--without-pair'] : [])];
  const child = spawn(process.execPath, [program, ...parameters], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((done) =>
    child.once('exit', () => {
      done();
    }),
  );
  for await (const text of createInterface(child.stdout)) {
    if (!text.startsWith('{')) continue;
    return {
      ...servedSchema.parse(JSON.parse(text)),
      stop: async () => {
        child.stdin.end();
        await ended;
      },
    };
  }
  throw new Error('The lab ended before it was ready.');
}

/** Proportional set size of processes (proc_pid_smaps(5)), in MiB. */
function memoryMiB(pids: readonly number[]): number {
  const kibibytes = pids.map((pid) =>
    Number(/^Pss: +(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]),
  );
  return kibibytes.reduce((sum, some) => sum + some, 0) / 1024;
}

/** Processor time that processes have used, in milliseconds (proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms). */
function processorMs(pids: readonly number[]): number {
  const ticks = pids.flatMap((pid) => {
    const [, fromThird = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
    return fromThird.split(' ').slice(11, 13).map(Number);
  });
  return ticks.reduce((sum, some) => sum + some, 0) * 10;
}

// (a) Keystroke to echo

/** A key without an echo after this time counts as lost. */
const lostMs = 30_000;

/** Opens `count` terminals. */
type Open = (count: number) => Promise<Line[]>;

/** Makes the terminal echo each key unchanged, and print nothing else. */
async function echoKeys(line: Line): Promise<void> {
  await untilShellRuns(line);
  const ready = untilShown(line, 'ready-to-echo');
  line.send("stty raw -echo isig; printf 'ready-to''-echo'; cat\r");
  await ready;
}

async function keystrokes(lines: readonly Line[], keys: number, everyMs: number): Promise<number[]> {
  const samples: number[] = [];
  await Promise.all(
    lines.map(async (line, index) => {
      // Learners do not type at the same instant.
      await sleep((everyMs * index) / lines.length);
      for (let key = 0; key < keys; key++) {
        const begun = performance.now();
        let lost: NodeJS.Timeout | undefined;
        await new Promise<void>((echoed, fail) => {
          lost = setTimeout(() => {
            fail(new Error(`The terminal did not echo a key within ${lostMs} ms.`));
          }, lostMs);
          line.onData = () => {
            echoed();
          };
          line.send('x');
        });
        const tookMs = performance.now() - begun;
        clearTimeout(lost);
        samples.push(tookMs);
        await sleep(Math.max(0, everyMs - tookMs));
      }
    }),
  );
  return samples;
}

/** All ways are open at once and take turns, so other load on the machine affects all of them equally. */
async function echo(where: string, ways: ReadonlyMap<string, Open>, amounts: Amounts): Promise<void> {
  for (const { terminals, keys, everyMs } of amounts.echo) {
    const open = new Map<string, Line[]>();
    for (const [way, opener] of ways) {
      const lines = await opener(terminals);
      await Promise.all(
        lines.map((line, index) =>
          echoKeys(line).catch((error: unknown) => {
            throw new Error(`Terminal ${index + 1} of ${terminals}, ${way}`, { cause: error });
          }),
        ),
      );
      open.set(way, lines);
    }
    const samples = new Map<string, number[]>();
    for (let round = 0; round < amounts.echoRounds; round++) {
      for (const [way, lines] of open) {
        samples.set(way, [...(samples.get(way) ?? []), ...(await keystrokes(lines, keys, everyMs))]);
      }
    }
    for (const line of [...open.values()].flat()) line.close();
    console.table(
      [...samples].map(([way, some]) => row(`${where}, ${terminals} terminals: ${way}`, 'ms', some)),
    );
    const ours = samples.get('lab') ?? [];
    const plain = samples.get('plain') ?? [];
    const added = (share: number) => (percentile(ours, share) ?? NaN) - (percentile(plain, share) ?? NaN);
    verdict(
      `${where}, ${terminals} terminals, overhead at p50`,
      added(0.5),
      'ms',
      'at most 2',
      added(0.5) <= 2,
    );
    verdict(
      `${where}, ${terminals} terminals, overhead at p99`,
      added(0.99),
      'ms',
      'at most 10',
      added(0.99) <= 10,
    );
  }
}

// (b) Throughput

let streamsSoFar = 0;
const lineBytes = 80;

/**
 * Returns a command that prints lines of {@link lineBytes}, `bytes` in total. The terminal is raw, so it adds none. The end mark
 * differs each time, because the previous one may still be on the screen.
 */
function nextStream(bytes: number): { command: string; end: string } {
  const number = ++streamsSoFar;
  const command =
    `stty raw -echo; yes "$(printf '%078d\\r' 7)" | head -c ${bytes}; ` +
    `printf 'stream-${number}''-is-over'; stty sane\r`;
  return { command, end: `stream-${number}-is-over` };
}

/** Longer than an end mark and a prompt together. */
const tailLength = 256;

/** @returns megabytes per second */
async function stream(line: Line, bytes: number): Promise<number> {
  const { command, end } = nextStream(bytes);
  let received = 0;
  const over = new Promise<void>((done) => {
    let tail = '';
    line.onData = (data) => {
      received += data.length;
      // The shell's prompt may arrive in the same piece as the end mark.
      tail = (tail + textOf(data.slice(-tailLength))).slice(-tailLength);
      if (tail.includes(end)) done();
    };
  });
  const begun = performance.now();
  line.send(command);
  await over;
  const seconds = (performance.now() - begun) / 1000;
  if (received < bytes) throw new Error(`Only ${received} of ${bytes} bytes arrived.`);
  return bytes / 1e6 / seconds;
}

/** @param servers process ids of each way's servers */
async function streams(
  where: string,
  ways: ReadonlyMap<string, Open>,
  bytes: number,
  count: number,
  servers: ReadonlyMap<string, () => number[]> = new Map<string, () => number[]>(),
): Promise<Map<string, number[]>> {
  const open = new Map<string, Line>();
  for (const [way, opener] of ways) {
    const [line] = await opener(1);
    if (line) open.set(way, line);
  }
  const samples = new Map<string, number[]>();
  const taken = new Map<string, number[]>();
  for (let round = 0; round < count; round++) {
    for (const [way, line] of open) {
      const pids = servers.get(way)?.() ?? [];
      const before = processorMs(pids);
      samples.set(way, [...(samples.get(way) ?? []), await stream(line, bytes)]);
      if (pids.length > 0) taken.set(way, [...(taken.get(way) ?? []), processorMs(pids) - before]);
    }
  }
  for (const line of open.values()) line.close();
  const what = `${where}, ${bytes / 1e6} MB`;
  console.table([
    ...[...samples].map(([way, some]) => row(`${what}: ${way}`, 'MB/s', some)),
    ...[...taken].map(([way, some]) => row(`${what}, processor time of servers: ${way}`, 'ms', some)),
  ]);
  return samples;
}

declare global {
  interface Window {
    /** The terminal of wetty's page. */
    wetty_term?: NonNullable<Window['labTerminals']>['source'];
    /** When this page last requested a ticket, by its own clock. */
    ticketAtMs?: number;
    /** The page requests a ticket only after this resolves; {@link bringLineBack} resolves it. */
    lineIsBack?: Promise<void>;
    bringLineBack?: () => void;
    /** The page's latest socket. */
    socket?: WebSocket;
  }
}

/** A page that parses nothing for this long, in milliseconds, has stalled. */
const stallMs = 15_000;

interface PageStream {
  /** Megabytes per second that xterm parsed, up to the last byte that arrived. */
  speed: number;
  /** The stream stalled before its end. */
  isStalled: boolean;
}

async function streamIntoPage(page: Page, bytes: number): Promise<PageStream> {
  const { command, end } = nextStream(bytes);
  const { ms, lines, isStalled } = await page.evaluate(
    ([typed, last, stalledMs]) =>
      new Promise<{ ms: number; lines: number; isStalled: boolean }>((done) => {
        const terminal = window.wetty_term ?? window.labTerminals?.source;
        if (!terminal) throw new Error('The page has no terminal.');
        const begun = performance.now();
        let parsedAt = begun;
        let count = 0;
        const finish = (stalled: boolean) => {
          window.clearInterval(watch);
          onParsed.dispose();
          onLine.dispose();
          done({ ms: parsedAt - begun, lines: count, isStalled: stalled });
        };
        const watch = window.setInterval(() => {
          if (performance.now() - parsedAt > stalledMs) finish(true);
        }, 1000);
        const onLine = terminal.onLineFeed(() => {
          count += 1;
        });
        const onParsed = terminal.onWriteParsed(() => {
          parsedAt = performance.now();
          const { active } = terminal.buffer;
          const row = active.baseY + active.cursorY;
          const text = [row - 1, row].map((y) => active.getLine(y)?.translateToString(true) ?? '').join('');
          if (text.includes(last)) finish(false);
        });
        terminal.input(typed, true);
      }),
    [command, end, stallMs] as const,
  );
  return { speed: (isStalled ? lines * lineBytes : bytes) / 1e6 / (ms / 1000), isStalled };
}

async function labPageIn(browser: Browser, lab: Served, session: LabPage): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  await context.addCookies([{ ...session.credentials, url: lab.url }]);
  const page = await context.newPage();
  await page.addInitScript(() => {
    const fetch = window.fetch.bind(window);
    window.fetch = async (...parameters) => {
      const [address] = parameters;
      if (typeof address === 'string' && address.endsWith('/ticket')) {
        await window.lineIsBack;
        window.ticketAtMs = performance.now();
      }
      return fetch(...parameters);
    };
    window.WebSocket = class extends WebSocket {
      constructor(...parameters: ConstructorParameters<typeof WebSocket>) {
        super(...parameters);
        window.socket = this;
      }
    };
  });
  await page.goto(`${lab.url}/lessons/${lessonId}`);
  await page.locator('[data-phase="ready"][data-connection="open"]').waitFor({ timeout: 240_000 });
  return page;
}

async function streamsInBrowser(
  browser: Browser,
  lab: Served,
  wettyUrl: string | undefined,
  amounts: Amounts,
) {
  const session = await LabPage.start(lab.url, lessonId);
  const labPage = await labPageIn(browser, lab, session);
  const pages = new Map([['lab', labPage]]);
  const untilPrompt = async (page: Page) => {
    await page.waitForFunction(
      () => ((window.wetty_term ?? window.labTerminals?.source)?.buffer.active.cursorX ?? 0) > 0,
    );
  };
  if (wettyUrl !== undefined) {
    const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
    await page.goto(wettyUrl);
    pages.set('wetty', page);
  }
  const samples = new Map<string, number[]>();
  const stalls = new Map<string, number>();
  for (let round = 0; round < amounts.streams; round++) {
    for (const [way, page] of pages) {
      await page.bringToFront();
      await untilPrompt(page);
      const { speed, isStalled } = await streamIntoPage(page, amounts.streamBytes);
      samples.set(way, [...(samples.get(way) ?? []), speed]);
      if (!isStalled) continue;
      stalls.set(way, (stalls.get(way) ?? 0) + 1);
      await page.reload();
    }
  }
  const title = `parsed by xterm in Chromium, ${amounts.streamBytes / 1e6} MB`;
  const drawnBy = await labPage.locator('[data-renderer]').first().getAttribute('data-renderer');
  console.log(`The lab’s terminals are drawn by: ${drawnBy ?? 'unknown'}.`);
  console.table([...samples].map(([way, some]) => row(`${title}: ${way}`, 'MB/s', some)));
  for (const [way, count] of stalls) {
    console.log(
      `${count} streams of ${way} stalled for over ${stallMs / 1000} s: their speed counts up to the stall.`,
    );
  }
  for (const page of pages.values()) await page.context().close();
  await session.end();
  return samples;
}

// (c) Reconnect

/** Prints more lines than the server repaints (screen.ts), on a real host. */
async function fillScrollback(line: Line): Promise<void> {
  const filled = untilShown(line, 'scrollback-is-full');
  line.send("seq -f %079.0f 12000; printf 'scrollback-is''-full\\n'\r");
  await filled;
}

/** More output than the server keeps (scrollbackBytes in config.ts), so the page gets a whole screen instead of the missed bytes. */
const linesBeyondTheBuffer = 14_000;

/** In a page: waits until `wanted` is the last line before the prompt. @returns the milliseconds since the page requested a ticket */
const untilLastLine = (wanted: string): Promise<number> =>
  new Promise<number>((done) => {
    const look = (): void => {
      const { active } = window.labTerminals?.source.buffer ?? {};
      const last = active?.getLine(active.baseY + active.cursorY - 1)?.translateToString(true);
      if (last === wanted) done(performance.now() - (window.ticketAtMs ?? NaN));
      else setTimeout(look, 1);
    };
    look();
  });

const lastLine = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const { active } = window.labTerminals?.source.buffer ?? {};
    return active?.getLine(active.baseY + active.cursorY - 1)?.translateToString(true) ?? '';
  });

let cuts = 0;

/**
 * Cuts the page's connection, makes the host print lines meanwhile, and lets the page reconnect.
 * @param witness another line to the same terminal, which stays connected
 * @returns the milliseconds from the ticket request until the last byte is parsed
 */
async function reconnectInBrowser(page: Page, witness: Line, missedLines: number): Promise<number> {
  const cut = cuts++;
  const end = `missed-${cut}`;
  const seen = untilShown(witness, end);
  await page.evaluate(async (command) => {
    window.lineIsBack = new Promise((resolve) => (window.bringLineBack = resolve));
    window.labTerminals?.source.input(command, true);
    // The command is sent before the cut, and prints nothing until then.
    await new Promise((resolve) => setTimeout(resolve, 500));
    window.socket?.close();
  }, `sleep 1; seq -f %079.0f ${missedLines}; printf 'missed''-${cut}\\n'\r`);
  await seen;
  await page.evaluate(() => window.bringLineBack?.());
  return page.evaluate(untilLastLine, end);
}

async function reconnects(lab: Served, browser: Browser, amounts: Amounts): Promise<void> {
  const page = await LabPage.start(lab.url, lessonId);
  await page.untilReady();
  const [line] = await page.open(1);
  if (!line) throw new Error('The session has no terminal.');
  await fillScrollback(line);
  const rows: Row[] = [];
  for (const missed of [null, 0, 50_000]) {
    const samples: number[] = [];
    for (let count = 0; count < amounts.reconnects; count++) {
      page.cut();
      await sleep(50);
      const begun = performance.now();
      await page.reconnect(line, missed);
      samples.push(performance.now() - begun);
    }
    const what = missed === null ? 'whole screen, after 12000 lines of 80' : `${missed} missed bytes`;
    rows.push(row(`cut to ${what}, without a browser`, 'ms', samples));
    if (missed === null) {
      const p50 = percentile(samples, 0.5) ?? NaN;
      verdict('reconnect to the whole screen, without a browser, p50', p50, 'ms', 'at most 300', p50 <= 300);
    }
  }
  const inBrowser = await labPageIn(browser, lab, page);
  for (const missedLines of [600, linesBeyondTheBuffer]) {
    const samples: number[] = [];
    for (let count = 0; count < amounts.reconnects; count++) {
      samples.push(await reconnectInBrowser(inBrowser, line, missedLines));
    }
    const what = missedLines === linesBeyondTheBuffer ? 'whole screen' : `${80 * missedLines} bytes missed`;
    rows.push(row(`cut, from ticket request to ${what}, parsed in Chromium`, 'ms', samples));
    const p50 = percentile(samples, 0.5) ?? NaN;
    verdict(`reconnect in Chromium, ${what}, p50`, p50, 'ms', 'at most 300', p50 <= 300);
  }
  const reloads: number[] = [];
  for (let count = 0; count < amounts.reloads; count++) {
    const last = await lastLine(inBrowser);
    await inBrowser.reload();
    reloads.push(await inBrowser.evaluate(untilLastLine, last));
  }
  rows.push(row('reload: from ticket request to whole screen, parsed in Chromium', 'ms', reloads));
  console.table(rows);
  await inBrowser.context().close();
  await page.end();
}

// (d) Memory

async function memory(lab: Served, { memoryTerminals, floodMs }: Amounts): Promise<void> {
  const page = await LabPage.start(lab.url, lessonId);
  const measure = () => {
    const [runner = 0] = processIdsOf(lab.stateDir, process.execPath);
    return { runner: memoryMiB([runner]), gateway: memoryMiB([lab.pid]) };
  };
  await page.connect();
  await page.open(2);
  await sleep(2000);
  const two = measure();
  const lines = await page.open(memoryTerminals);
  await sleep(2000);
  const idle = measure();
  for (const line of lines) line.send('yes a-flood-of-some-length\r');
  // The scrollback fills first.
  await sleep(floodMs);
  const flood: ReturnType<typeof measure>[] = [];
  for (let sample = 0; sample < 10; sample++) {
    await sleep(floodMs / 10);
    flood.push(measure());
  }
  for (const line of lines) line.send('\x03');
  await sleep(2000);
  page.cut();
  await sleep(5000);
  const kept = measure();
  await page.end();
  const more = memoryTerminals - 2;
  const peak = Math.max(...flood.map(({ runner }) => runner));
  console.table([
    { what: 'runner, 2 idle terminals', MiB: two.runner.toFixed(1), gateway: two.gateway.toFixed(1) },
    {
      what: `runner, ${memoryTerminals} idle terminals`,
      MiB: idle.runner.toFixed(1),
      gateway: idle.gateway.toFixed(1),
    },
    {
      what: `runner, ${memoryTerminals} flooding terminals, most of 10 samples`,
      MiB: peak.toFixed(1),
      gateway: Math.max(...flood.map(({ gateway }) => gateway)).toFixed(1),
    },
    {
      what: 'runner, floods over, no page attached: scrollback',
      MiB: kept.runner.toFixed(1),
      gateway: kept.gateway.toFixed(1),
    },
  ]);
  const idleEach = (idle.runner - two.runner) / more;
  verdict('memory of one more idle attached terminal', idleEach, 'MiB', 'at most 2', idleEach <= 2);
  const floodEach = (peak - kept.runner) / memoryTerminals;
  verdict(
    'memory of a flooding terminal beyond its scrollback',
    floodEach,
    'MiB',
    'at most 2',
    floodEach <= 2,
  );
}

// All of it

/** The attach command for a session's host, as the runner uses it, but with a separate shell. */
function attachCommand(lab: Served, index: number, shell: string): [string, ...string[]] {
  const [sandbox] = readSandboxIds(lab);
  const { run } = sandboxFiles(sandboxDir(lab.stateDir, sandbox ?? ''));
  // The SSH connection exists, and sharing it needs no key.
  return new ControlChannel(run, hostOf(index), { key: '/dev/null', knownHosts: '/dev/null' }).attachCommand(
    shell,
  );
}

const readSandboxIds = (lab: Served): string[] =>
  execFileSync('ls', [join(lab.stateDir, 'sandboxes')], { encoding: 'utf8' })
    .trim()
    .split('\n');

const quoted = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');

/** A script for wetty: attaches to one of the two hosts, with a separate shell for each terminal. */
function attachScript(lab: Served): string {
  const [source, destination] = hostNames.map((_, index) =>
    // A function, because `$$` in a replacement string means one `$`: then all terminals would share a shell.
    quoted(attachCommand(lab, index, 'wetty-NUMBER')).replace('wetty-NUMBER', () => `wetty-'"$$"'`),
  );
  return `if [ $((1$(date +%N) % 2)) = 0 ]; then exec ${source ?? ''}; else exec ${destination ?? ''}; fi`;
}

async function installWetty(wanted: boolean): Promise<Wetty | undefined> {
  if (!wanted) return undefined;
  try {
    return await Wetty.install();
  } catch (error) {
    console.log(`Measuring without wetty: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** Runs the benchmark and prints the tables; takes about ten minutes under TCG. */
export async function benchTerminal(options: TerminalBenchOptions): Promise<void> {
  const amounts = options.quick ? quick : full;
  const parts: ReadonlySet<Part> = new Set(options.only ?? terminalBenchParts);
  const wetty = await installWetty(options.wetty);
  const browser = await launchBrowser();
  try {
    const local = await serve(true);
    const ssh = execFileSync('sh', ['-c', 'ssh -V 2>&1'], { encoding: 'utf8' }).trim();
    console.log(
      `On ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB; ` +
        `hosts by ${local.accelerator}, QEMU ${await qemuVersion()}; Node ${process.versions.node}, ` +
        `Chromium ${browser.version()}, ${ssh}, wetty ${wetty ? Wetty.version : 'not installed'}.`,
    );
    console.log(`
local: the terminal's program is ${localShell.join(' ')} on this machine.
host:  the program is the attach command: SSH to a shell on a host of a real pair, half of the terminals on each host.
plain: the program in a pseudo-terminal of the measuring process.
lab:   through the lab's gateway, runner and sandbox, with one socket for all terminals.
wetty: the same program started by wetty's server, with one socket for each terminal, as in its page.`);
    await measureLocal(local, wetty, browser, amounts, parts);
    await local.stop();
    const ofHosts: readonly Part[] = ['host-echo', 'host-stream', 'reconnect'];
    if (ofHosts.some((part) => parts.has(part))) await measureHosts(wetty, browser, amounts, parts);
  } finally {
    await browser.close();
    await wetty?.remove();
  }
  console.log(`\n${verdicts.join('\n')}`);
}

const wettyOpener =
  (wetty: Wetty, url: string): Open =>
  (count) =>
    Promise.all(Array.from({ length: count }, () => wetty.line(url)));

async function measureLocal(
  lab: Served,
  wetty: Wetty | undefined,
  browser: Browser,
  amounts: Amounts,
  parts: ReadonlySet<Part>,
): Promise<void> {
  const wettyUrl = await wetty?.serve(`exec ${localShell.join(' ')}`);
  const pages: LabPage[] = [];
  const ways = new Map<string, Open>([
    ['plain', (count) => Promise.all(Array.from({ length: count }, () => plainLine(localShell)))],
    [
      'lab',
      async (count) => {
        const page = await LabPage.start(lab.url, lessonId);
        pages.push(page);
        await page.connect();
        return page.open(count);
      },
    ],
  ]);
  if (wetty && wettyUrl !== undefined) ways.set('wetty', wettyOpener(wetty, wettyUrl));
  if (parts.has('local-echo')) await echo('local', ways, amounts);
  if (parts.has('local-stream')) {
    const servers = new Map([
      ['lab', () => [lab.pid, ...processIdsOf(lab.stateDir, process.execPath)]],
      ['wetty', () => wetty?.processIds ?? []],
    ]);
    const received = await streams(
      'received by a client, local',
      ways,
      amounts.streamBytes,
      amounts.streams,
      servers,
    );
    compare('throughput received by a client, local', received);
  }
  for (const page of pages) await page.end();
  if (parts.has('browser-stream')) {
    compare('throughput parsed in Chromium, local', await streamsInBrowser(browser, lab, wettyUrl, amounts));
  }
  if (parts.has('memory')) await memory(lab, amounts);
}

/** Compares the lab with wetty. The pseudo-terminal itself limits throughput: no reader can be faster than the plain command. */
function compare(what: string, samples: ReadonlyMap<string, readonly number[]>): void {
  const median = (way: string) => percentile(samples.get(way) ?? [], 0.5);
  const theirs = median('wetty');
  if (theirs === undefined) return;
  const times = (median('lab') ?? NaN) / theirs;
  verdict(`${what}, p50 against wetty's`, times, 'times', 'at least 2', times >= 2);
  const plain = median('plain');
  if (plain !== undefined) {
    verdicts.push(
      `        the plain command, without a server: ${(plain / theirs).toFixed(1)} times wetty's`,
    );
  }
}

async function measureHosts(
  wetty: Wetty | undefined,
  browser: Browser,
  amounts: Amounts,
  parts: ReadonlySet<Part>,
): Promise<void> {
  const lab = await serve(false);
  const page = await LabPage.start(lab.url, lessonId);
  await page.untilReady();
  let shells = 0;
  const ways = new Map<string, Open>([
    [
      'plain',
      (count) =>
        Promise.all(
          Array.from({ length: count }, (_, index) =>
            plainLine(attachCommand(lab, index, `plain-${shells++}`)),
          ),
        ),
    ],
    ['lab', (count) => page.open(count)],
  ]);
  if (wetty) ways.set('wetty', wettyOpener(wetty, await wetty.serve(attachScript(lab))));
  if (parts.has('host-echo')) await echo('host', ways, amounts);
  await page.end();
  if (parts.has('host-stream')) {
    const streaming = await LabPage.start(lab.url, lessonId);
    await streaming.untilReady();
    ways.set('lab', (count) => streaming.open(count));
    if (wetty) ways.set('wetty', wettyOpener(wetty, await wetty.serve(attachScript(lab))));
    await streams('received by a client, host', ways, amounts.hostStreamBytes, amounts.streams);
    await streaming.end();
  }
  if (parts.has('reconnect')) await reconnects(lab, browser, amounts);
  await lab.stop();
}
