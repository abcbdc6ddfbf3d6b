/** For tests that need only a pair: they use the machine's cache and a directory of their own. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
  /** Short, because paths of Unix sockets are limited. */
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

/** Runs a script on a host and returns its trimmed output. @throws when the script fails */
export async function on(pair: Pair, host: HostName, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await pair.channel(host).run(script, { timeoutMs: 120_000 });
  if (exitCode !== 0) throw new Error(`${host}: ${script}: ${exitCode}: ${stderr}${stdout}`);
  return stdout.trim();
}

/** A terminal on a host, and a page that keeps all its output. */
export class Shell {
  readonly terminal: Terminal;
  readonly page: TestPage;
  /** How many times the terminal's program has ended. */
  exits = 0;

  readonly #pair: Pair;
  readonly #id: string;

  constructor(
    pair: Pair,
    readonly host: HostName,
    scrollbackBytes = 256 * 1024,
    id: string = host,
  ) {
    this.#pair = pair;
    this.#id = id;
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

  /** Attaches (also again, after a rewind) and waits for the prompt. */
  async attach(): Promise<void> {
    this.terminal.close();
    this.terminal.open(this.#pair.channel(this.host).attachCommand(this.#id));
    await this.prompt();
    // bash draws its prompt twice: for Ctrl-L and for the window size. Commands may follow only after both.
    await this.untilQuiet(300);
  }

  /** Waits until no output has arrived for `quietMs`. */
  async untilQuiet(quietMs: number): Promise<void> {
    for (let shown = -1; shown !== this.shown.length;) {
      shown = this.shown.length;
      await sleep(quietMs);
    }
  }

  async prompt(timeoutMs = 120_000): Promise<void> {
    await until(() => this.terminal.idle, timeoutMs);
  }

  /** Runs a command at the prompt and returns the output up to the next prompt. */
  async type(command: string): Promise<string> {
    const from = this.shown.length;
    const busy = await this.terminal.typeCommand(command, 'cut-line', randomUUID());
    if (busy) throw new Error(`The terminal refused ${command}: ${busy}`);
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
      throw new Error(
        `The terminal did not show ${String(text)}, but: ${JSON.stringify(shown().slice(-1000))}`,
        { cause },
      );
    });
  }

  close(): void {
    this.terminal.close();
  }
}

export async function until(condition: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`Still false after ${timeoutMs} ms: ${String(condition)}`);
    await sleep(10);
  }
}
