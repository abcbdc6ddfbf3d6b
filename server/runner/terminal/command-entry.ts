/** Types commands for the learner, one after the other, and only where nothing stands in the way. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Busy } from '../../protocol/terminal';
import type { Screen } from './screen';
import type { Shell } from './shell';

/** The echo of what was typed is on the screen after this. It takes some ms; under TCG on a busy machine it has taken 300. */
const echoMs = 350;
/** A program that was sent Ctrl-C has this long to end, a line that was cut to be drawn. On a busy machine that took over a second. */
const clearingMs = 3000;
/** Typing that does not stop is waited for no longer than this. */
const maxTypingMs = 5000;

const ctrlC = '\x03';
/** Ctrl-E and Ctrl-U cut the whole line. bash keeps it for Ctrl-Y. */
const cutLine = '\x05\x15';

export class CommandEntry {
  readonly #shell: Shell;
  readonly #screen: Screen;
  readonly #type: (text: string) => void;
  #last: Promise<unknown> = Promise.resolve();

  /** @param type types text as the lab. @throws LabError `overloaded` */
  constructor(shell: Shell, screen: Screen, type: (text: string) => void) {
    this.#shell = shell;
    this.#screen = screen;
    this.#type = type;
  }

  /** See {@link Terminal.typeCommand}. */
  enter(
    text: string,
    whenBusy: 'refuse' | 'interrupt' | 'cut-line',
    runId: string,
  ): Promise<Busy | undefined> {
    const result = this.#last.then(async () => {
      const { count } = this.#shell;
      let busy = await this.#busy();
      if (busy && busy !== 'full-screen' && whenBusy === 'interrupt') {
        this.#type(ctrlC);
        busy = await this.#untilFree(clearingMs);
      } else if (busy === 'half-typed' && whenBusy === 'cut-line') {
        this.#type(cutLine);
        busy = await this.#untilFree(clearingMs);
      }
      if (busy) return busy;
      // The command was meant for another shell.
      if (this.#shell.count !== count) return 'program';
      // Nothing came in between: no await stands between the look at the screen and this line.
      this.#type(`${text}\r`);
      this.#shell.entered(runId);
      return undefined;
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** What stands in the way of a command, as of when the echo of what was typed is on the screen. */
  async #busy(): Promise<Busy | undefined> {
    const deadline = Date.now() + maxTypingMs;
    for (;;) {
      if (this.#shell.isAtCleanPrompt) return undefined;
      const { idle, typedAtMs } = this.#shell;
      const echoesInMs = idle ? typedAtMs + echoMs - Date.now() : 0;
      if (echoesInMs > 0) {
        if (Date.now() > deadline) return 'half-typed';
        await sleep(echoesInMs);
        continue;
      }
      await this.#screen.settled();
      if (this.#shell.idle !== idle || this.#shell.typedAtMs !== typedAtMs) continue;
      if (!idle) return this.#screen.isAlternate ? 'full-screen' : 'program';
      return this.#screen.isAtEmptyPrompt ? undefined : 'half-typed';
    }
  }

  async #untilFree(timeoutMs: number): Promise<Busy | undefined> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const busy = await this.#busy();
      if (!busy || Date.now() > deadline) return busy;
      await sleep(20);
    }
  }
}
