/** Learners who wait for a pair: first come, first served, and one place for each. */

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
  /** By owner, in the order of arrival: a Map keeps it. */
  private readonly waiting = new Map<string, Waiting>();

  /**
   * @param graceMs a place is lost when its page was not heard of for this long
   */
  constructor(
    private readonly graceMs: number,
    private readonly now: () => number = Date.now,
  ) {}

  get size(): number {
    return this.waiting.size;
  }

  /** Places that an address has. */
  countOf(address: string): number {
    return [...this.waiting.values()].filter((entry) => entry.address === address).length;
  }

  /** Takes the last place; who has one keeps it, also when the lesson is another now. */
  join(ownerHash: string, address: string, lessonId: string): void {
    const known = this.waiting.get(ownerHash);
    const now = this.now();
    if (known) {
      known.lessonId = lessonId;
      known.seenAtMs = now;
    } else {
      this.waiting.set(ownerHash, { ownerHash, address, lessonId, queuedAtMs: now, seenAtMs: now });
    }
  }

  leave(ownerHash: string): void {
    this.waiting.delete(ownerHash);
  }

  /** The owner's page asked: it is there. @returns the place, 1 being next, or undefined for who has none */
  ask(ownerHash: string): { entry: Waiting; position: number } | undefined {
    this.expire();
    const entry = this.waiting.get(ownerHash);
    if (!entry) return undefined;
    entry.seenAtMs = this.now();
    return { entry, position: [...this.waiting.keys()].indexOf(ownerHash) + 1 };
  }

  /** Takes the first in line who may have a pair now; others keep their places. */
  take(mayHave: (entry: Waiting) => boolean): Waiting | undefined {
    this.expire();
    for (const entry of this.waiting.values()) {
      if (!mayHave(entry)) continue;
      this.waiting.delete(entry.ownerHash);
      return entry;
    }
    return undefined;
  }

  private expire(): void {
    const oldest = this.now() - this.graceMs;
    for (const entry of this.waiting.values()) {
      if (entry.seenAtMs < oldest) this.waiting.delete(entry.ownerHash);
    }
  }
}
