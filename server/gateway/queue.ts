/** Learners who wait for a pair: first come, first served, and one position for each. */

export interface Waiting {
  ownerHash: string;
  /** Network address that asked. */
  address: string;
  lessonId: string;
  queuedAtMs: number;
  /** When the page was heard of last. */
  seenAtMs: number;
}

export class Queue {
  readonly #graceMs: number;
  readonly #onLapse: (ownerHash: string) => void;
  readonly #now: () => number;
  /** By owner, in the order of arrival: a Map keeps it. */
  readonly #waiting = new Map<string, Waiting>();

  /**
   * @param graceMs a learner loses the position when the page was not heard of for this long
   * @param onLapse told of each learner who loses the position in this way
   */
  constructor(graceMs: number, onLapse: (ownerHash: string) => void, now: () => number = Date.now) {
    this.#graceMs = graceMs;
    this.#onLapse = onLapse;
    this.#now = now;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Positions that an address has. */
  countOf(address: string): number {
    return [...this.#waiting.values()].filter((entry) => entry.address === address).length;
  }

  /** Takes the last position. A learner who has one keeps it, also for another lesson. */
  join(ownerHash: string, address: string, lessonId: string): void {
    const known = this.#waiting.get(ownerHash);
    const now = this.#now();
    if (known) {
      known.lessonId = lessonId;
      known.seenAtMs = now;
    } else {
      this.#waiting.set(ownerHash, { ownerHash, address, lessonId, queuedAtMs: now, seenAtMs: now });
    }
  }

  leave(ownerHash: string): void {
    this.#waiting.delete(ownerHash);
  }

  /** Notes that the owner's page is there. @returns the position, 1 being next; undefined for a learner who has none */
  ask(ownerHash: string): { entry: Waiting; position: number } | undefined {
    this.#expire();
    const entry = this.#waiting.get(ownerHash);
    if (!entry) return undefined;
    entry.seenAtMs = this.#now();
    return { entry, position: [...this.#waiting.keys()].indexOf(ownerHash) + 1 };
  }

  /** Takes the first in the queue who may have a pair now; the others keep their order. */
  take(mayHave: (entry: Waiting) => boolean): Waiting | undefined {
    this.#expire();
    for (const entry of this.#waiting.values()) {
      if (!mayHave(entry)) continue;
      this.#waiting.delete(entry.ownerHash);
      return entry;
    }
    return undefined;
  }

  #expire(): void {
    const oldest = this.#now() - this.#graceMs;
    for (const entry of this.#waiting.values()) {
      if (entry.seenAtMs >= oldest) continue;
      this.#waiting.delete(entry.ownerHash);
      this.#onLapse(entry.ownerHash);
    }
  }
}
