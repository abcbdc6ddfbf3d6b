import { randomBytes } from 'node:crypto';

/** Long enough to find the other device and type an address that a colleague reads out. Short, because the key is worth the session. */
const handoverLifeMs = 600_000;
/** Keys that may wait at once. The oldest are dropped first, so a client that asks without end harms itself most. */
const maxHandovers = 1000;

/** What a handover hands over. */
export interface Handover {
  sessionId: string;
  /**
   * The learner's cookie itself, because the other browser gets the same one. Only this process's memory holds it, and not
   * longer than the key is valid.
   */
  cookie: string;
}

/** Single-use keys by which a learner continues a session in another browser. A gateway that restarts forgets them. */
export class Handovers {
  readonly #now: () => number;
  readonly #waiting = new Map<string, Handover & { expiresAtMs: number }>();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** @returns the key; keys that the session had before become invalid */
  offer(handover: Handover): string {
    for (const [key, { sessionId, expiresAtMs }] of this.#waiting) {
      if (sessionId === handover.sessionId || expiresAtMs < this.#now()) this.#waiting.delete(key);
    }
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size >= maxHandovers && oldest !== undefined) this.#waiting.delete(oldest);
    const key = randomBytes(24).toString('base64url');
    this.#waiting.set(key, { ...handover, expiresAtMs: this.#now() + handoverLifeMs });
    return key;
  }

  /** Reads a key without using it up. @returns undefined when the key is unknown, used or too old */
  find(key: string): Handover | undefined {
    const found = this.#waiting.get(key);
    return found && found.expiresAtMs >= this.#now() ? found : undefined;
  }

  /** Uses a key up. */
  take(key: string): void {
    this.#waiting.delete(key);
  }
}
