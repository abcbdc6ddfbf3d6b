/**
 * Input of a terminal: each client's bytes are taken once, in order, and given to the program as fast as it reads.
 *
 * A client is one load of a page, whatever connections it has meanwhile. Its bytes have offsets: repeated bytes are cut, and a gap
 * is an error, because nothing after the gap could be typed in order.
 */
import { LabError } from '../../protocol/errors';

/** Bytes of one client that were taken and not given to the program. A page stops sending at this mark by itself. */
export const maxUngivenBytes = 64 * 1024;
/** The same for all clients and the lab's own commands together. */
const maxQueuedBytes = 4 * maxUngivenBytes;
/** Clients remembered. A page that was left never returns, and fewer pages than this can be connected (see delivery/gate.ts). */
const maxClients = 64;
/** A program that does not read is tried again after this long; the wait doubles from the first to the last. */
const firstRetryMs = 2;
const lastRetryMs = 50;

interface ClientInput {
  taken: number;
  given: number;
}

export class TerminalInput {
  readonly #write: (bytes: Buffer) => number;
  readonly #onGiven: (clientId: string, offset: number) => void;
  readonly #clients = new Map<string, ClientInput>();
  #queue: { bytes: Buffer; clientId: string | undefined }[] = [];
  #queuedBytes = 0;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = firstRetryMs;

  /**
   * @param write types bytes; returns how many were taken, fewer when the program does not read
   * @param onGiven bytes of this client before the offset have been given to the program
   */
  constructor(write: (bytes: Buffer) => number, onGiven: (clientId: string, offset: number) => void) {
    this.#write = write;
    this.#onGiven = onGiven;
  }

  /** How much of this client's input has been taken. A client that is new or forgotten starts at 0. */
  takenOf(clientId: string): number {
    return this.#known(clientId).taken;
  }

  /** How much of this client's input has been given to the program. */
  givenOf(clientId: string): number {
    return this.#known(clientId).given;
  }

  /**
   * Types those of a client's bytes that have not come before.
   * @param offset of the first byte within all that this client has typed here
   * @throws LabError `bad-message` when bytes before these are missing, `overloaded` when the client sends more than the program reads
   */
  take(clientId: string, offset: number, bytes: Uint8Array): void {
    const known = this.#known(clientId);
    if (offset > known.taken) {
      throw new LabError(
        'bad-message',
        `Input begins at ${offset}, but only ${known.taken} bytes came before it.`,
      );
    }
    const fresh = Buffer.from(bytes.subarray(known.taken - offset));
    if (fresh.length === 0) return;
    if (known.taken + fresh.length - known.given > maxUngivenBytes) {
      throw new LabError(
        'overloaded',
        'The terminal’s program has not read earlier input, so there is no room for more.',
      );
    }
    this.#push(fresh, clientId);
    known.taken += fresh.length;
    this.#flush();
  }

  /**
   * Types text of the lab's own, after all input so far.
   * @throws LabError `overloaded` when the program does not read
   */
  type(text: string): void {
    this.#push(Buffer.from(text), undefined);
    this.#flush();
  }

  /** Drops the input that was not given: its program has ended. */
  drop(): void {
    this.#stopWaiting();
    for (const { bytes, clientId } of this.#queue.splice(0)) this.#give(clientId, bytes.length);
    this.#queuedBytes = 0;
  }

  #push(bytes: Buffer, clientId: string | undefined): void {
    if (this.#queuedBytes + bytes.length > maxQueuedBytes) {
      throw new LabError(
        'overloaded',
        'The terminal’s program does not read its input, and too much input is waiting.',
      );
    }
    this.#queue.push({ bytes, clientId });
    this.#queuedBytes += bytes.length;
  }

  #flush(): void {
    if (this.#retry) return;
    for (let next = this.#queue[0]; next; next = this.#queue[0]) {
      const count = this.#write(next.bytes);
      this.#queuedBytes -= count;
      this.#give(next.clientId, count);
      if (count < next.bytes.length) {
        next.bytes = next.bytes.subarray(count);
        this.#retryMs = count > 0 ? firstRetryMs : Math.min(2 * this.#retryMs, lastRetryMs);
        this.#retry = setTimeout(() => {
          this.#retry = undefined;
          this.#flush();
        }, this.#retryMs);
        return;
      }
      this.#queue.shift();
    }
    this.#retryMs = firstRetryMs;
  }

  #stopWaiting(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#retryMs = firstRetryMs;
  }

  #give(clientId: string | undefined, count: number): void {
    if (clientId === undefined || count === 0) return;
    const known = this.#clients.get(clientId);
    if (!known) return;
    known.given += count;
    this.#onGiven(clientId, known.given);
  }

  #known(clientId: string): ClientInput {
    const known = this.#clients.get(clientId) ?? { taken: 0, given: 0 };
    // Keeps the map in the order of last use.
    this.#clients.delete(clientId);
    this.#clients.set(clientId, known);
    const [oldest] = this.#clients.keys();
    if (this.#clients.size > maxClients && oldest !== undefined) this.#clients.delete(oldest);
    return known;
  }
}
