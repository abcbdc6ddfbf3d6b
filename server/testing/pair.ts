/** For tests that need a pair and nothing around it: the machine's cache, and a directory of the test's own. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { vi } from 'vitest';
import { readConfig, type Config } from '../config';
import { hostNames, type HostName } from '../protocol/hosts';
import { root } from '../root';
import { prepareImage } from '../setup/stages';
import { ensureTemplate } from '../template/template';
import type { Pair } from '../runner/pair';
import { Terminal } from '../runner/terminal/terminal';
import { TestPage } from './page';

export interface Workplace {
  config: Config;
  templateDir: string;
  /** A short path, because Unix sockets limit the length of theirs. */
  directory: string;
  remove(): Promise<void>;
}

export async function workplace(): Promise<Workplace> {
  const config = readConfig();
  const { signal } = new AbortController();
  const imageDir = await prepareImage(config, root, signal);
  const template = await ensureTemplate(config, imageDir, { signal, onProgress: () => undefined });
  const directory = await mkdtemp(join(tmpdir(), 'lab-'));
  return {
    config,
    templateDir: template.dir,
    directory,
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

/** Runs a script on a host. @returns its output without the last newline. @throws when it fails */
export async function on(pair: Pair, host: HostName, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await pair.channel(host).run(script, { timeoutMs: 120_000 });
  if (exitCode !== 0) throw new Error(`${host}: ${script}: ${exitCode}: ${stderr}${stdout}`);
  return stdout.trim();
}

/** A terminal of one host, and a page that keeps all output it was sent. */
export class Shell {
  readonly terminal: Terminal;
  readonly page: TestPage;
  /** How often the program of the terminal has ended. */
  exits = 0;

  constructor(
    private readonly pair: Pair,
    readonly host: HostName,
    scrollbackBytes = 256 * 1024,
    private readonly id: string = host,
  ) {
    const events = {
      onIdle: () => undefined,
      onPrompt: () => undefined,
      onRun: () => undefined,
      onExit: () => (this.exits += 1),
    };
    this.terminal = new Terminal(id, host, hostNames.indexOf(host), id, events, scrollbackBytes);
    this.page = new TestPage(this.terminal, { from: 0, columns: 100, rows: 30 });
  }

  get shown(): Buffer {
    return this.page.bytes;
  }

  /** Attaches, at first and after a rewind, and waits for the prompt. */
  async attach(): Promise<void> {
    this.terminal.close();
    this.terminal.open(this.pair.channel(this.host).attachCommand(this.id));
    await this.prompt();
    // bash then draws its prompt twice, for Ctrl-L and for the window's size. Commands are typed after both.
    await this.untilQuiet(300);
  }

  /** Waits until no output came for this long. */
  async untilQuiet(quietMs: number): Promise<void> {
    for (let shown = -1; shown !== this.shown.length;) {
      shown = this.shown.length;
      await sleep(quietMs);
    }
  }

  async prompt(timeoutMs = 120_000): Promise<void> {
    await until(() => this.terminal.idle, timeoutMs);
  }

  /** Runs a command at the prompt. @returns the output until the next prompt */
  async type(command: string): Promise<string> {
    const from = this.shown.length;
    const busy = await this.terminal.typeCommand(command, 'cut-line', randomUUID());
    if (busy) throw new Error(`${command} was not typed: ${busy}`);
    await this.prompt();
    await this.page.caughtUp();
    return this.shown.subarray(from).toString();
  }

  keys(text: string): void {
    this.page.type(text);
  }

  resize(columns: number, rows: number): void {
    this.page.resize(columns, rows);
  }

  async untilShown(text: string | RegExp, from = 0, timeoutMs = 120_000): Promise<void> {
    const shown = () => this.shown.subarray(from).toString();
    await until(
      () => (typeof text === 'string' ? shown().includes(text) : text.test(shown())),
      timeoutMs,
    ).catch((cause: unknown) => {
      throw new Error(`No ${String(text)} but: ${JSON.stringify(shown().slice(-1000))}`, { cause });
    });
  }

  close(): void {
    this.terminal.close();
  }
}

export async function until(condition: () => boolean, timeoutMs: number): Promise<void> {
  await vi.waitFor(
    () => {
      if (!condition()) throw new Error(`Not so within ${timeoutMs} ms: ${String(condition)}`);
    },
    { timeout: timeoutMs, interval: 10 },
  );
}
