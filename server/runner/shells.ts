/** Shells on the hosts for the terminals: attached at first, after a rewind, and again when one has ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { LabError } from '../protocol/errors';
import type { Pair } from './pair';
import type { Terminal } from './terminal/terminal';
import type { Terminals } from './terminal/terminals';

/** A shell of a terminal that was closed ends within this, or stays behind on its host. */
const closeTimeoutMs = 20_000;
/** A host that restarts takes logins again within this. */
const restartTimeoutMs = 300_000;
/** A shell that ends at once is not replaced in a tight loop. */
const replaceAfterMs = 500;

export class Shells {
  readonly #terminals: Terminals;
  readonly #readyPair: () => Pair | undefined;
  readonly #signal: AbortSignal;
  readonly #log: Logger;

  /**
   * @param readyPair the pair, while it takes commands
   * @param signal aborts when the sandbox ends
   */
  constructor(terminals: Terminals, readyPair: () => Pair | undefined, signal: AbortSignal, log: Logger) {
    this.#terminals = terminals;
    this.#readyPair = readyPair;
    this.#signal = signal;
    this.#log = log;
  }

  attach(terminal: Terminal, pair: Pair): void {
    terminal.open(pair.channel(terminal.host).attachCommand(terminal.id));
  }

  /** Ends the shell of a terminal that was closed. */
  end({ id, host }: Terminal): void {
    this.#readyPair()
      ?.channel(host)
      .endShell(id, closeTimeoutMs)
      .catch((error: unknown) => {
        this.#log.warn({ err: error, terminal: id }, 'shell not ended');
      });
  }

  /** The learner left the shell, or its host restarts: gives the terminal a new one. */
  async replace(terminal: Terminal): Promise<void> {
    const pair = this.#readyPair();
    if (!pair) return;
    terminal.notice('this shell has ended; a new one starts');
    try {
      await pair.channel(terminal.host).open(restartTimeoutMs);
      await sleep(replaceAfterMs, undefined, { signal: this.#signal });
      // Meanwhile the terminal may have been closed, or the hosts may have been rewound, which brings its shell as well.
      if (this.#readyPair() === pair && this.#terminals.has(terminal) && !terminal.isOpen) {
        this.attach(terminal, pair);
      }
    } catch (thrown) {
      if (this.#signal.aborted) return;
      const error = LabError.from(thrown, 'The login failed');
      this.#log.warn({ err: error, terminal: terminal.id }, 'no new shell');
      if (this.#terminals.has(terminal)) terminal.notice(`no new shell: ${error.toWire().message}`);
    }
  }
}
