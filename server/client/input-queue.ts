/**
 * The input that a learner typed into one terminal and the server has not acknowledged.
 *
 * Each byte has an offset, counted from the page's first byte. A byte stays in the queue until the server acknowledges it, so the next
 * connection can send it again. The server drops bytes that it already has, so each byte is typed once. Input older than
 * {@link maxAgeMs} is dropped instead, and the learner is told: a command that reaches a root shell long after it was typed does harm.
 */
import { maxInputBytes } from '../protocol/frames';

/** Most unacknowledged bytes in flight: one frame's maximum, and far more than anyone types in a round trip. */
export const inputWindowBytes = maxInputBytes;
/** Most bytes that may wait for the window: a paste of a long file. A longer one is a mistake. */
export const maxWaitingBytes = 1024 * 1024;
/** Longer than the 15 s that detecting a dead connection takes; shorter than people remember what they typed. */
export const maxAgeMs = 20_000;

interface Entry {
  bytes: Uint8Array;
  typedAtMs: number;
}

export class InputQueue {
  /** One entry for each key or paste, contiguous from {@link #base} on. */
  readonly #entries: Entry[] = [];
  /** Offset of the first kept byte. */
  #base = 0;
  /** Number of kept bytes, and how many of them have been sent. */
  #length = 0;
  #sent = 0;

  /** @returns false when the queue is too full; then it keeps none of the bytes */
  push(bytes: Uint8Array, nowMs: number): boolean {
    if (this.#length + bytes.length > inputWindowBytes + maxWaitingBytes) return false;
    if (bytes.length > 0) this.#entries.push({ bytes, typedAtMs: nowMs });
    this.#length += bytes.length;
    return true;
  }

  /** @returns the next bytes to send, as many as the window allows; undefined when there are none */
  take(): { offset: number; bytes: Uint8Array } | undefined {
    const size = Math.min(this.#length, inputWindowBytes) - this.#sent;
    if (size <= 0) return undefined;
    const bytes = new Uint8Array(size);
    let start = -this.#sent;
    for (const entry of this.#entries) {
      const skipped = Math.max(0, -start);
      const room = size - Math.max(0, start);
      if (room <= 0) break;
      if (skipped < entry.bytes.length)
        bytes.set(entry.bytes.subarray(skipped, skipped + room), Math.max(0, start));
      start += entry.bytes.length;
    }
    const offset = this.#base + this.#sent;
    this.#sent += size;
    return { offset, bytes };
  }

  /** The terminal has received all bytes before `offset`. */
  ack(offset: number): void {
    let taken = Math.min(offset - this.#base, this.#length);
    if (taken <= 0) return;
    this.#base += taken;
    this.#length -= taken;
    this.#sent = Math.max(0, this.#sent - taken);
    while (taken > 0) {
      const first = this.#entries[0];
      if (first === undefined) return;
      if (first.bytes.length > taken) {
        first.bytes = first.bytes.subarray(taken);
        return;
      }
      taken -= first.bytes.length;
      this.#entries.shift();
    }
  }

  /**
   * Prepares for a new connection: unacknowledged bytes are sent again, or dropped if they are too old.
   * @param offset the server's count of received bytes
   * @returns how many keys (or pastes) were dropped
   */
  resume(offset: number, nowMs: number): number {
    this.ack(offset);
    this.#base = offset;
    this.#sent = 0;
    const oldest = this.#entries[0];
    if (oldest === undefined || nowMs - oldest.typedAtMs < maxAgeMs) return 0;
    this.#length = 0;
    return this.#entries.splice(0).length;
  }
}
