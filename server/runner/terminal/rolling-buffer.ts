/** The newest bytes of an endless stream, addressed by their offset in the stream. */
export class RollingBuffer {
  readonly #ring: Buffer;
  /** Bytes ever appended; also the offset of the next one. */
  end = 0;

  /** @param capacity bytes kept */
  constructor(readonly capacity: number) {
    this.#ring = Buffer.alloc(capacity);
  }

  /** Offset of the oldest byte that is still kept. */
  get start(): number {
    return Math.max(0, this.end - this.capacity);
  }

  append(chunk: Uint8Array): void {
    const kept = chunk.subarray(Math.max(0, chunk.length - this.capacity));
    const at = (this.end + chunk.length - kept.length) % this.capacity;
    const first = Math.min(kept.length, this.capacity - at);
    this.#ring.set(kept.subarray(0, first), at);
    this.#ring.set(kept.subarray(first), 0);
    this.end += chunk.length;
  }

  /**
   * A copy of at most `length` bytes from `offset` on, fewer at the end.
   * @throws RangeError when `offset` is before `start` or after `end`
   */
  read(offset: number, length: number): Buffer {
    if (offset < this.start || offset > this.end) {
      throw new RangeError(`Offset ${offset} is not within ${this.start} to ${this.end}.`);
    }
    const size = Math.min(length, this.end - offset);
    const at = offset % this.capacity;
    const first = Math.min(size, this.capacity - at);
    return Buffer.concat([this.#ring.subarray(at, at + first), this.#ring.subarray(0, size - first)]);
  }
}
