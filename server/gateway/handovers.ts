import { randomBytes } from 'node:crypto';

/** Long enough to find the other device and type an address that a colleague reads out; short, because it is worth the session. */
export const handoverLifeMs = 600_000;
/** Keys that may wait at once; the oldest go first, so that asking without end costs only the asker. */
const maxHandovers = 1000;

/** What a handover hands over. */
export interface Handover {
  sessionId: string;
  /**
   * The learner's cookie itself, because the other browser is to have the same one. It is nowhere but in this process's memory,
   * and not there longer than the key is good for.
   */
  cookie: string;
}

/** Single-use keys by which a learner goes on with their session in another browser. A gateway that restarts forgets them. */
export class Handovers {
  private readonly waiting = new Map<string, Handover & { expiresAtMs: number }>();

  constructor(private readonly now: () => number = Date.now) {}

  /** @returns the key; those that the session had before are good for nothing any more */
  offer(handover: Handover): string {
    for (const [key, { sessionId, expiresAtMs }] of this.waiting) {
      if (sessionId === handover.sessionId || expiresAtMs < this.now()) this.waiting.delete(key);
    }
    const [oldest] = this.waiting.keys();
    if (this.waiting.size >= maxHandovers && oldest !== undefined) this.waiting.delete(oldest);
    const key = randomBytes(24).toString('base64url');
    this.waiting.set(key, { ...handover, expiresAtMs: this.now() + handoverLifeMs });
    return key;
  }

  /** What a key is for, without using it up; undefined when it is unknown, used or too old. */
  find(key: string): Handover | undefined {
    const found = this.waiting.get(key);
    return found && found.expiresAtMs >= this.now() ? found : undefined;
  }

  /** Uses a key up. */
  take(key: string): void {
    this.waiting.delete(key);
  }
}
