/**
 * Sends the output of a page's terminals over the page's connection: fairly, and never more than the link holds.
 *
 * Round robin in small quanta. A terminal with little to send goes first, so the echo of a keystroke does not queue behind another
 * terminal's flood. A window that follows the delay bounds the bytes in flight (as LEDBAT does, RFC 6817): WebSocket pings between
 * the frames tell when the bytes before them have arrived. The window grows while answers come about as fast as the fastest one, and
 * shrinks when a queue builds up on the link. On a link of 20 KB/s a keystroke's echo then waits for some kilobytes at most; on a fast
 * link nothing waits.
 *
 * The attachments bound what a page has not parsed, for each terminal.
 */
import { encodeFrame } from '../../protocol/frames';
import type { ServerMessage } from '../../protocol/messages';
import type { Portion } from '../terminal/attachment';

/** The window before anything is known of the link. TCP starts with as much (RFC 6928). */
const firstWindow = 16 * 1024;
/** 0.4 s of a link of 20 KB/s. */
const minWindow = 8 * 1024;
/** 0.3 s at 50 Mbit/s. */
const maxWindow = 2 * 1024 * 1024;
/** Delay that a queue may add, in milliseconds, or the link's own delay if that is longer. */
const targetMs = 50;
/** The fastest answer of the last one to two such periods is the link's own delay. Links change. */
const memoryMs = 30_000;
/** A terminal with less to send than this goes first, also on a full link. */
const smallBytes = 4 * 1024;
const minQuantum = 2 * 1024;
const maxQuantum = 32 * 1024;
/** A terminal that was just served waits this long for more, unless it has this much: a pty delivers a flood in small pieces. */
const gatherMs = 1;
const gatherBytes = 8 * 1024;
/** The least time between pings, unless much is sent or sending waits for an answer. */
const pingMs = 5;
/** A queue delays all answers of a round trip, a busy moment of either end only some. So the fastest of this many counts. */
const answersCompared = 4;

export interface Source {
  /** Roughly how many bytes it has to send now. 0 for none. */
  readonly pending: number;
  take(maxBytes: number): Portion | undefined;
}

export interface Wire {
  send(data: string | Uint8Array): void;
  /** The answer has the same payload and comes when everything sent before has arrived. */
  ping(payload: Buffer): void;
  /** Data sent until `uncork` may go out together. */
  cork(): void;
  uncork(): void;
}

export class Pump {
  /** Bytes that may be in flight. */
  window = firstWindow;
  readonly #wire: Wire;
  readonly #now: () => number;
  /** In the order in which they are served. */
  #sources: { source: Source; servedAtMs: number }[] = [];
  #sent = 0;
  #arrived = 0;
  #pingedAt = 0;
  #pingedAtMs = -Infinity;
  #pings: { sent: number; atMs: number; wasFull: boolean }[] = [];
  #isStarting = true;
  #delays: number[] = [];
  #fastest = Infinity;
  #fastestBefore = Infinity;
  #fastestSinceMs: number;
  #scheduled: NodeJS.Immediate | undefined;
  #gathering: NodeJS.Timeout | undefined;

  constructor(wire: Wire, now: () => number = () => performance.now()) {
    this.#wire = wire;
    this.#now = now;
    this.#fastestSinceMs = now();
  }

  add(source: Source): void {
    this.#sources.push({ source, servedAtMs: -Infinity });
    this.wake();
  }

  remove(source: Source): void {
    this.#sources = this.#sources.filter((candidate) => candidate.source !== source);
  }

  /** A source has something to send. */
  wake(): void {
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.#run();
    });
  }

  /** Sends a message that belongs to no terminal's output, ahead of all that waits. */
  send(message: ServerMessage): void {
    this.#write(JSON.stringify(message));
    this.#ask();
  }

  /** A ping was answered. Answers to pings that were never sent are ignored. */
  answered(payload: Buffer): void {
    if (payload.length !== 8) return;
    const sent = Number(payload.readBigUInt64BE());
    const index = this.#pings.findIndex((ping) => ping.sent === sent);
    const ping = this.#pings[index];
    if (!ping) return;
    // A page may answer only the last of several (RFC 6455, 5.5.3).
    this.#pings = this.#pings.slice(index + 1);
    this.#adapt(this.#now() - ping.atMs, sent - this.#arrived, ping.wasFull);
    this.#arrived = sent;
    this.#run();
  }

  close(): void {
    clearImmediate(this.#scheduled);
    clearTimeout(this.#gathering);
    this.#sources = [];
  }

  get #inFlight(): number {
    return this.#sent - this.#arrived;
  }

  get #quantum(): number {
    return Math.max(minQuantum, Math.min(maxQuantum, this.window / 8));
  }

  #run(): void {
    this.#wire.cork();
    for (;;) {
      const room = this.window - this.#inFlight;
      const entry = room + smallBytes > 0 ? this.#next(room > 0) : undefined;
      if (!entry) {
        if (room <= 0 && this.#pings.length === 0) this.#ask(true);
        break;
      }
      this.#sources = [...this.#sources.filter((other) => other !== entry), entry];
      entry.servedAtMs = this.#now();
      for (let left = Math.floor(room > 0 ? this.#quantum : smallBytes); left > 0;) {
        const portion = entry.source.take(left);
        if (!portion) break;
        left -= this.#write(
          portion.type === 'message' ? JSON.stringify(portion.message) : encodeFrame(portion),
        );
      }
      this.#ask();
    }
    this.#wire.uncork();
  }

  /** The source to serve now: the first with little to send, else the first of all. */
  #next(hasRoom: boolean): { source: Source; servedAtMs: number } | undefined {
    let first: { source: Source; servedAtMs: number } | undefined;
    let waits = false;
    const now = this.#now();
    for (const entry of this.#sources) {
      const { pending } = entry.source;
      if (pending === 0) continue;
      if (pending < gatherBytes && now - entry.servedAtMs < gatherMs) {
        waits = true;
        continue;
      }
      if (pending <= smallBytes) return entry;
      first ??= entry;
    }
    if (hasRoom && first) return first;
    if (waits) {
      this.#gathering ??= setTimeout(() => {
        this.#gathering = undefined;
        this.#run();
      }, gatherMs);
    }
    return undefined;
  }

  #write(data: string | Uint8Array): number {
    const bytes = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
    this.#sent += bytes;
    this.#wire.send(data);
    return bytes;
  }

  /** Pings several times a window, and now and then while no answer is awaited. */
  #ask(mustKnow = false): void {
    const isTime = this.#pings.length === 0 && this.#now() - this.#pingedAtMs >= pingMs;
    if (!mustKnow && !isTime && this.#sent - this.#pingedAt < this.window / 8) return;
    const payload = Buffer.alloc(8);
    payload.writeBigUInt64BE(BigInt(this.#sent));
    this.#pings.push({ sent: this.#sent, atMs: this.#now(), wasFull: this.#inFlight > this.window / 2 });
    this.#pingedAt = this.#sent;
    this.#pingedAtMs = this.#now();
    this.#wire.ping(payload);
  }

  /** @param wasFull whether the window bounded the sending. If not, the answer tells nothing about a larger window. */
  #adapt(delayMs: number, bytes: number, wasFull: boolean): void {
    if (this.#now() - this.#fastestSinceMs > memoryMs) {
      this.#fastestBefore = this.#fastest;
      this.#fastest = Infinity;
      this.#fastestSinceMs = this.#now();
    }
    this.#fastest = Math.min(this.#fastest, delayMs);
    const linkMs = Math.min(this.#fastest, this.#fastestBefore);
    this.#delays = [...this.#delays, delayMs].slice(-answersCompared);
    const queuedMs = Math.min(...this.#delays) - linkMs;
    const target = Math.max(targetMs, linkMs);
    const off = Math.max(-1, (target - queuedMs) / target);
    if (off < 0.5) this.#isStarting = false;
    if (off > 0 && !wasFull) return;
    // At first the window doubles in a round trip. Later it changes by half of itself at most.
    this.window += bytes * off * (this.#isStarting ? 1 : 0.5);
    this.window = Math.max(minWindow, Math.min(maxWindow, this.window));
  }
}
