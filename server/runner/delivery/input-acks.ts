/** A page learns of typed input after this many bytes, or after this many milliseconds. */
const inputAckBytes = 16 * 1024;
const inputAckMs = 50;

/** Tells a page how much of its input has been given to the program: at once at first, then not too often. */
export class InputAcks {
  readonly #tell: (offset: number) => void;
  #offset = 0;
  #told = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (offset: number) => void) {
    this.#tell = tell;
  }

  given(offset: number): void {
    this.#offset = offset;
    if (this.#timer && offset - this.#told < inputAckBytes) return;
    clearTimeout(this.#timer);
    this.#told = offset;
    this.#tell(offset);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#offset > this.#told) this.given(this.#offset);
    }, inputAckMs);
  }
}
