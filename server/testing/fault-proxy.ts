/** A TCP proxy that simulates a bad network, for tests. It runs between a browser and the gateway. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Faults of the network. Changes take effect at once, also for open connections. */
export interface Faults {
  /** Added to the round-trip time, in milliseconds. */
  roundTripMs: number;
  /** For each direction of each connection; Infinity means no limit. */
  bytesPerSecond: number;
  /** Probability, from 0 to 1, that a connection is cut when it opens, and again in each second of its life. */
  loss: number;
}

const noFaults: Faults = { roundTripMs: 0, bytesPerSecond: Infinity, loss: 0 };

/** Bytes that a slow link buffers before the sender must wait, like a small router: a longer queue would only add delay. */
const slowQueueBytes = 32 * 1024;
/** The same for a link without a limit: enough for some MB/s at a round trip of a third of a second. */
const fastQueueBytes = 4 * 1024 * 1024;
/** Duration of the pieces in which a slow link passes data, in seconds: larger pieces would arrive in bursts. */
const pieceS = 0.02;

/** A random generator that gives the same numbers for the same seed (mulberry32), so a failure can be reproduced. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One direction of a connection. */
class Link {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #faults: Readonly<Faults>;
  readonly #queue: { dueMs: number; piece: Buffer | 'end' }[] = [];
  #queuedBytes = 0;
  /** When the last piece leaves the bottleneck. */
  #sentMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #dead = false;

  constructor(from: Socket, to: Socket, faults: Readonly<Faults>) {
    this.#from = from;
    this.#to = to;
    this.#faults = faults;
    from.on('data', (data) => {
      this.#take(data);
    });
    from.on('end', () => {
      this.#enqueue('end', 0);
    });
    to.on('drain', () => {
      this.#pass();
    });
  }

  /** Stops all data without notifying either side. */
  kill(): void {
    this.#dead = true;
    clearTimeout(this.#timer);
    this.#from.pause();
  }

  #take(data: Buffer): void {
    const { bytesPerSecond } = this.#faults;
    const pieceBytes = Math.max(1, Math.min(data.length, Math.floor(bytesPerSecond * pieceS)));
    for (let at = 0; at < data.length; at += pieceBytes) {
      const piece = data.subarray(at, at + pieceBytes);
      this.#enqueue(piece, piece.length / bytesPerSecond);
    }
    const most = Number.isFinite(bytesPerSecond) ? slowQueueBytes : fastQueueBytes;
    if (this.#queuedBytes > most) this.#from.pause();
  }

  #enqueue(piece: Buffer | 'end', seconds: number): void {
    this.#sentMs = Math.max(this.#sentMs, performance.now()) + seconds * 1000;
    this.#queue.push({ dueMs: this.#sentMs + this.#faults.roundTripMs / 2, piece });
    this.#queuedBytes += piece.length;
    this.#pass();
  }

  #pass(): void {
    if (this.#dead) return;
    clearTimeout(this.#timer);
    for (let next = this.#queue[0]; next && !this.#to.writableNeedDrain; next = this.#queue[0]) {
      const earlyMs = next.dueMs - performance.now();
      if (earlyMs > 0) {
        this.#timer = setTimeout(() => {
          this.#pass();
        }, earlyMs);
        return;
      }
      this.#queue.shift();
      if (next.piece === 'end') {
        this.#to.end();
      } else {
        this.#queuedBytes -= next.piece.length;
        this.#to.write(next.piece);
      }
    }
    if (this.#queuedBytes < slowQueueBytes / 2) this.#from.resume();
  }
}

interface Connection {
  links: readonly Link[];
  cut: () => void;
}

export class FaultProxy {
  /** Tests change this; {@link heal} removes all faults. */
  readonly faults: Faults = { ...noFaults };
  /** Number of connections accepted so far. */
  accepted = 0;
  readonly #targetPort: number;
  readonly #random: () => number;
  readonly #connections = new Set<Connection>();
  readonly #server = createServer({ allowHalfOpen: true }, (client) => {
    this.#accept(client);
  });
  readonly #lossTimer = setInterval(() => {
    for (const { cut } of this.#connections) if (this.#isLost()) cut();
  }, 1000);
  #swallowing = false;

  private constructor(targetPort: number, random: () => number) {
    this.#targetPort = targetPort;
    this.#random = random;
  }

  /**
   * @param targetPort the server's port on loopback; the server may start later
   * @param seed of the random losses
   */
  static async listen(targetPort: number, seed = 1): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPort, seededRandom(seed));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Number of open connections, including those that pass no data. */
  get open(): number {
    return this.#connections.size;
  }

  /** Resets all connections, so both sides notice. New connections work. */
  cut(): void {
    for (const { cut } of this.#connections) cut();
  }

  /**
   * Simulates a network that vanishes without notice. Until {@link heal}, open connections carry no data, and new connections are
   * accepted but never answered. All of them stay dead afterwards; each side must find that out by itself.
   */
  swallow(): void {
    this.#swallowing = true;
    for (const { links } of this.#connections) for (const link of links) link.kill();
  }

  /** Removes all faults, for new and for open connections. */
  heal(): void {
    this.#swallowing = false;
    Object.assign(this.faults, noFaults);
  }

  async close(): Promise<void> {
    clearInterval(this.#lossTimer);
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #isLost(): boolean {
    return this.faults.loss > 0 && this.#random() < this.faults.loss;
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    if (this.#isLost()) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ port: this.#targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const links = [new Link(client, server, this.faults), new Link(server, client, this.faults)];
    const connection: Connection = {
      links,
      cut: () => {
        this.#connections.delete(connection);
        for (const link of links) link.kill();
        client.resetAndDestroy();
        server.resetAndDestroy();
      },
    };
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      // The close event follows.
      socket.on('error', () => undefined);
      socket.on('close', (hadError) => {
        if (hadError) connection.cut();
        else if (client.destroyed && server.destroyed) this.#connections.delete(connection);
      });
    }
    if (this.#swallowing) for (const link of links) link.kill();
  }
}
