/**
 * Keeps sizes and marks at their positions in a terminal's output.
 *
 * xterm parses asynchronously. A new size or a mark must take effect after the bytes before it and before the bytes after it. So the
 * queue holds back the later bytes until xterm has parsed the earlier ones.
 */

/** Gives bytes to xterm. @param parsed called when xterm has parsed them, in the order of the calls */
export type WriteBytes = (bytes: Uint8Array, parsed: () => void) => void;

type Operation = { do: () => void } | { bytes: Uint8Array; replayed: boolean; parsed: () => void };

export class OutputQueue {
  readonly #writeBytes: WriteBytes;
  readonly #onParsed: (replayed: boolean) => void;
  /** Given to xterm and not parsed yet, oldest first: the first is what it parses now. */
  readonly #parsing: { replayed: boolean }[] = [];
  readonly #waiting: Operation[] = [];

  /** @param onParsed told of each piece as soon as it is parsed, in the same turn of the event loop */
  constructor(writeBytes: WriteBytes, onParsed: (replayed: boolean) => void) {
    this.#writeBytes = writeBytes;
    this.#onParsed = onParsed;
  }

  /** Whether the bytes that xterm parses now are a replay. Valid only inside its parser. */
  get replaying(): boolean {
    return this.#parsing[0]?.replayed ?? false;
  }

  write(bytes: Uint8Array, replayed: boolean, parsed: () => void): void {
    this.#waiting.push({ bytes, replayed, parsed });
    this.#goOn();
  }

  /** Runs an action when everything before it is parsed. */
  then(action: () => void): void {
    this.#waiting.push({ do: action });
    this.#goOn();
  }

  #goOn(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if ('do' in next) {
        if (this.#parsing.length > 0) return;
        this.#waiting.shift();
        next.do();
      } else {
        this.#waiting.shift();
        const { bytes, replayed, parsed } = next;
        this.#parsing.push({ replayed });
        this.#writeBytes(bytes, () => {
          this.#onParsed(replayed);
          this.#parsing.shift();
          parsed();
          this.#goOn();
        });
      }
    }
  }
}
