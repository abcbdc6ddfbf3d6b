/**
 * What a learner typed into one terminal and the terminal has not taken yet.
 *
 * Each byte has an offset, counted from the page's first byte on. A byte stays here until the server says that the terminal has it,
 * so that it can be sent again over the next connection: the server cuts what it has already, and so each byte is typed once. What is
 * older than {@link maxAgeMs} by then is dropped and told to the learner instead: a command that enters a root shell long after
 * it was typed does harm.
 */
import { maxInputBytes } from '../protocol/frames';

/** Unacknowledged bytes on their way at the same time: what the server takes in one frame, and far more than anybody types in a round trip. */
export const inputWindowBytes = maxInputBytes;
/** What may wait for the window, for pastes: a long file; beyond it is a mistake, or a clipboard with something else in it. */
export const maxWaitingBytes = 1024 * 1024;
/** Above the 15 s that a dead line takes to be found out, below the time after which nobody thinks of what they typed. */
export const maxAgeMs = 20_000;

interface Entry {
  bytes: Uint8Array;
  typedAtMs: number;
}

export class InputQueue {
  /** Contiguous, from {@link #base} on: one for each key or paste. */
  readonly #entries: Entry[] = [];
  /** The offset of the first byte that is kept. */
  #base = 0;
  /** Bytes that are kept, and how many of these have been sent. */
  #length = 0;
  #sent = 0;

  /** @returns false when it is too much to be kept; then none of it is */
  push(bytes: Uint8Array, nowMs: number): boolean {
    if (this.#length + bytes.length > inputWindowBytes + maxWaitingBytes) return false;
    if (bytes.length > 0) this.#entries.push({ bytes, typedAtMs: nowMs });
    this.#length += bytes.length;
    return true;
  }

  /** @returns the next bytes to be sent, as many as the window allows; undefined when there are none */
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

  /** The terminal has taken all bytes before `offset`. */
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
   * A new connection: what the terminal has not taken goes out once more, or is dropped if it has become too old.
   * @param offset as the server counts
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
