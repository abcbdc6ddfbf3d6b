/** Sockets of viewers, who watch a session's terminals by a grant, and how revoking the grant cuts them. */
import { Transform, type TransformCallback } from 'node:stream';
import { closeCodes } from '../protocol/messages';

/**
 * Finds where frames end in what a WebSocket server sends (RFC 6455, 5.2): first the handshake's answer, then frames, which a
 * server does not mask.
 */
class FrameBoundaries {
  /** The last bytes of the handshake's answer; undefined when all of it has passed. */
  #handshake: string | undefined = '';
  #header: number[] = [];
  /** Bytes of the present frame that are still to come. */
  #missing = 0;

  /** Whether another frame could begin here. */
  get isBetweenFrames(): boolean {
    return this.#handshake === undefined && this.#header.length === 0 && this.#missing === 0;
  }

  /** Follows the stream to the end of a frame or of the chunk. @returns bytes followed, at least one of a chunk that has any */
  follow(chunk: Uint8Array): number {
    let at = 0;
    for (;;) {
      const skipped = Math.min(this.#missing, chunk.length - at);
      at += skipped;
      this.#missing -= skipped;
      if ((at > 0 && this.isBetweenFrames) || at === chunk.length) return at;
      this.#take(chunk[at] ?? 0);
      at += 1;
    }
  }

  #take(byte: number): void {
    if (this.#handshake !== undefined) {
      const end = (this.#handshake + String.fromCharCode(byte)).slice(-4);
      this.#handshake = end === '\r\n\r\n' ? undefined : end;
      return;
    }
    this.#header.push(byte);
    const short = (this.#header[1] ?? 0) & 0x7f;
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (this.#header.length < 2 + extended) return;
    this.#missing = extended === 0 ? short : this.#header.slice(2).reduce((sum, more) => sum * 256 + more, 0);
    this.#header = [];
  }
}

/** The close frame of a server: code and reason (RFC 6455, 5.5.1). */
function closeFrame(code: number, reason: string): Buffer {
  const payload = Buffer.from(`\0\0${reason}`);
  payload.writeUInt16BE(code);
  return Buffer.concat([Buffer.of(0x88, payload.length), payload]);
}

/** What a runner sends to one viewer. It can end with a close code although another process speaks the WebSocket. */
export class ViewerStream extends Transform {
  readonly #boundaries = new FrameBoundaries();
  #state: 'open' | 'cutting' | 'ended' = 'open';

  /** Ends it with a close frame, as soon as the frame that is passing has passed. */
  cut(): void {
    if (this.#state !== 'open') return;
    this.#state = 'cutting';
    if (this.#boundaries.isBetweenFrames) this.#finish();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let at = 0;
    while (at < chunk.length && this.#state !== 'ended') {
      const followed = this.#boundaries.follow(chunk.subarray(at));
      this.push(chunk.subarray(at, at + followed));
      at += followed;
      if (this.#state === 'cutting' && this.#boundaries.isBetweenFrames) this.#finish();
    }
    done();
  }

  #finish(): void {
    this.#state = 'ended';
    this.push(closeFrame(closeCodes.forbidden, 'grant revoked'));
    this.push(null);
  }
}

/** Viewers of each session that are connected through this gateway. The runner limits how many there may be. */
export class ViewerSockets {
  readonly #cuts = new Map<string, Set<() => void>>();

  /** @param cut ends the viewer's socket @returns a function to call when the socket has ended */
  add(sessionId: string, cut: () => void): () => void {
    const cuts = this.#cuts.get(sessionId) ?? new Set();
    this.#cuts.set(sessionId, cuts.add(cut));
    return () => {
      cuts.delete(cut);
      if (cuts.size === 0 && this.#cuts.get(sessionId) === cuts) this.#cuts.delete(sessionId);
    };
  }

  cutAll(sessionId: string): void {
    for (const cut of this.#cuts.get(sessionId) ?? []) cut();
  }
}
