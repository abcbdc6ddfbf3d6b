/**
 * When a terminal's output came, in pieces: each byte has the time of its piece. A piece begins only outside of any escape sequence
 * and character, so a reader can start there.
 *
 * Bounded: output that comes soon after the beginning of a piece belongs to it, and when there are too many pieces, some are joined.
 */

/** A piece of output begins at byte `offset` and came at `atMs`; it ends where the next one begins. */
export interface Piece {
  readonly offset: number;
  readonly atMs: number;
}

/** Nobody sees a timestamp that is this much too early. */
const grainMs = 20;
/** The keys of an hour of typing, one by one; some hundred kilobytes at most. */
export const maxPieces = 4096;
/** A flood brings more than this in 20 ms. When only its end is kept, a piece should begin in that end. */
const minGrainBytes = 16 * 1024;

export class OutputTimes {
  #pieces: Piece[] = [];
  readonly #grainBytes: number;

  /** @param capacity bytes of output that are kept */
  constructor(capacity: number) {
    // There are never too many pieces of this length.
    this.#grainBytes = Math.max(minGrainBytes, Math.ceil((4 * capacity) / maxPieces));
  }

  /** The output from byte `offset` on comes now, and begins outside of any escape sequence and character. */
  note(offset: number, atMs: number): void {
    const piece = { offset, atMs };
    if (!this.#isApart(this.#pieces.at(-1), piece, grainMs)) return;
    this.#pieces.push(piece);
    if (this.#pieces.length <= maxPieces) return;
    // The shortest pauses go first, so a piece's time is wrong by no more than the pauses that are left.
    for (let ms = 2 * grainMs; this.#pieces.length > maxPieces / 2; ms *= 2) this.#joinWithin(ms);
  }

  /** Bytes before `offset` are no longer kept. */
  forget(offset: number): void {
    while ((this.#pieces[1]?.offset ?? Infinity) <= offset) this.#pieces.shift();
  }

  /** The pieces that begin at byte `offset` or after it, oldest first. */
  from(offset: number): Piece[] {
    return this.#pieces.filter((piece) => piece.offset >= offset);
  }

  #isApart(before: Piece | undefined, piece: Piece, ms: number): boolean {
    return (
      before === undefined ||
      piece.atMs - before.atMs >= ms ||
      piece.offset - before.offset >= this.#grainBytes
    );
  }

  #joinWithin(ms: number): void {
    let last: Piece | undefined;
    this.#pieces = this.#pieces.filter((piece) => {
      if (!this.#isApart(last, piece, ms)) return false;
      last = piece;
      return true;
    });
  }
}
