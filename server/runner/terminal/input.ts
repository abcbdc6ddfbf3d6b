/**
 * What is typed into a terminal: each client's bytes taken once, in order, and handed to the program as fast as it reads.
 *
 * A client is a page, from when it is loaded until it is left, whatever connections it has meanwhile. Its bytes have offsets:
 * what comes twice is cut, and what is missing is an error, because nothing after it could be typed in order.
 */
import { LabError } from '../../protocol/errors';

/** Of one client, taken and not yet given to the program. The page waits at this mark itself. */
export const maxUngivenBytes = 64 * 1024;
/** Of all clients and of the lab's own commands together. */
const maxQueuedBytes = 4 * maxUngivenBytes;
/** A page that was left does not come back; more than these are never open (see main.ts). */
const maxClients = 64;
/** How long to wait before a program that does not read is asked again: doubled from the first to the last. */
const firstRetryMs = 2;
const lastRetryMs = 50;

interface ClientInput {
  taken: number;
  given: number;
}

export class TerminalInput {
  private readonly clients = new Map<string, ClientInput>();
  private queue: { bytes: Buffer; clientId: string | undefined }[] = [];
  private queuedBytes = 0;
  private retry: NodeJS.Timeout | undefined;
  private retryMs = firstRetryMs;

  /**
   * @param write types bytes; returns how many were taken, fewer when the program does not read
   * @param onGiven bytes of this client before the offset have been given to the program
   */
  constructor(
    private readonly write: (bytes: Buffer) => number,
    private readonly onGiven: (clientId: string, offset: number) => void,
  ) {}

  /** How much of this client's input has been taken. A client that was forgotten, or is new, begins at 0. */
  takenOf(clientId: string): number {
    return this.known(clientId).taken;
  }

  /** How much of this client's input has been given to the program. */
  givenOf(clientId: string): number {
    return this.known(clientId).given;
  }

  /**
   * Types a client's bytes, those of them that have not come before.
   * @param offset of the first byte within all that this client has typed here
   * @throws LabError `bad-message` when bytes before these are missing, `overloaded` when the program does not read and the clientId goes on
   */
  take(clientId: string, offset: number, bytes: Uint8Array): void {
    const known = this.known(clientId);
    if (offset > known.taken) {
      throw new LabError(
        'bad-message',
        `Input begins at ${offset}, but only ${known.taken} bytes came before it.`,
      );
    }
    const fresh = Buffer.from(bytes.subarray(known.taken - offset));
    if (fresh.length === 0) return;
    if (known.taken + fresh.length - known.given > maxUngivenBytes) {
      throw new LabError('overloaded', 'More was typed than the terminal’s program has read.');
    }
    this.push(fresh, clientId);
    known.taken += fresh.length;
    this.flush();
  }

  /**
   * Types what the lab itself has to type, after all that was typed before.
   * @throws LabError `overloaded` when the program does not read
   */
  type(text: string): void {
    this.push(Buffer.from(text), undefined);
    this.flush();
  }

  /** What has not been typed is dropped: the program that it was meant for has ended. */
  drop(): void {
    this.stopWaiting();
    for (const { bytes, clientId } of this.queue.splice(0)) this.give(clientId, bytes.length);
    this.queuedBytes = 0;
  }

  private push(bytes: Buffer, clientId: string | undefined): void {
    if (this.queuedBytes + bytes.length > maxQueuedBytes) {
      throw new LabError('overloaded', 'The terminal’s program reads nothing, and too much waits for it.');
    }
    this.queue.push({ bytes, clientId });
    this.queuedBytes += bytes.length;
  }

  private flush(): void {
    if (this.retry) return;
    for (let next = this.queue[0]; next; next = this.queue[0]) {
      const count = this.write(next.bytes);
      this.queuedBytes -= count;
      this.give(next.clientId, count);
      if (count < next.bytes.length) {
        next.bytes = next.bytes.subarray(count);
        this.retryMs = count > 0 ? firstRetryMs : Math.min(2 * this.retryMs, lastRetryMs);
        this.retry = setTimeout(() => {
          this.retry = undefined;
          this.flush();
        }, this.retryMs);
        return;
      }
      this.queue.shift();
    }
    this.retryMs = firstRetryMs;
  }

  private stopWaiting(): void {
    clearTimeout(this.retry);
    this.retry = undefined;
    this.retryMs = firstRetryMs;
  }

  private give(clientId: string | undefined, count: number): void {
    if (clientId === undefined || count === 0) return;
    const known = this.clients.get(clientId);
    if (!known) return;
    known.given += count;
    this.onGiven(clientId, known.given);
  }

  private known(clientId: string): ClientInput {
    const known = this.clients.get(clientId) ?? { taken: 0, given: 0 };
    // The order of the map is that of the last use.
    this.clients.delete(clientId);
    this.clients.set(clientId, known);
    const [oldest] = this.clients.keys();
    if (this.clients.size > maxClients && oldest !== undefined) this.clients.delete(oldest);
    return known;
  }
}
