/** Polls the position in the queue, which also keeps it. */
import { LabError } from '../../../server/protocol/errors';
import type { SessionReply } from '../../../server/protocol/http';
import type { WireError } from '../../../server/protocol/errors';
import type { Every } from './every';

/** How often a queued page asks for its position, in milliseconds. */
export const queuePollMs = 2_000;

export class QueuePoll {
  readonly #every: Every;
  readonly #ask: () => Promise<SessionReply>;
  readonly #onReply: (reply: SessionReply) => void;
  readonly #onProblem: (problem: WireError) => void;
  #stop: (() => void) | undefined;
  #asking = false;

  constructor(
    every: Every,
    ask: () => Promise<SessionReply>,
    onReply: (reply: SessionReply) => void,
    onProblem: (problem: WireError) => void,
  ) {
    this.#every = every;
    this.#ask = ask;
    this.#onReply = onReply;
    this.#onProblem = onProblem;
  }

  start(): void {
    this.#stop ??= this.#every(queuePollMs, () => void this.now());
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Polls at once if the page is in the queue. */
  async now(): Promise<void> {
    const asked = this.#stop;
    // On a slow network, an answer may take longer than the polling interval.
    if (asked === undefined || this.#asking) return;
    // Ignore the answer if the page has left the queue or entered it again since.
    const isOfUse = (): boolean => asked === this.#stop;
    this.#asking = true;
    try {
      const reply = await this.#ask();
      if (isOfUse()) this.#onReply(reply);
    } catch (thrown) {
      if (!isOfUse()) return;
      const { code, message } = LabError.from(thrown, 'Asking for the position in the queue');
      // The server keeps the position for a while, so the next poll may still find it.
      const hint = 'The server keeps your position for a while, and this page retries.';
      this.#onProblem({ code, message, hint });
    } finally {
      this.#asking = false;
    }
  }
}
