/** A TCP proxy that behaves as a bad network does, for tests: it stands between a browser and the gateway. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** What is wrong with the network; may be changed at any time, for connections that are open as well. */
export interface Faults {
  /** Added to the time that a byte takes there and its answer back, in milliseconds. */
  roundTripMs: number;
  /** In each direction of each connection; Infinity for no limit. */
  bytesPerSecond: number;
  /** How probable it is, from 0 to 1, that a connection is cut when it is opened, and again in each second of its life. */
  loss: number;
}

const sound: Faults = { roundTripMs: 0, bytesPerSecond: Infinity, loss: 0 };

/** What a narrow link buffers before the sender has to wait, as a small router would: longer queues only add delay. */
const narrowQueueBytes = 32 * 1024;
/** The same for a link without a limit: enough for some MB/s at a third of a second. */
const wideQueueBytes = 4 * 1024 * 1024;
/** How much a narrow link passes at once, in seconds' worth: in larger pieces it would stop and go. */
const pieceS = 0.02;

/** A random generator that gives the same numbers for the same seed (mulberry32), so that a failure can be had again. */
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
  private readonly queue: { dueMs: number; piece: Buffer | 'end' }[] = [];
  private queuedBytes = 0;
  /** When the last piece has left the narrowest place. */
  private sentMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private dead = false;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly faults: Readonly<Faults>,
  ) {
    from.on('data', (data) => {
      this.take(data);
    });
    from.on('end', () => {
      this.enqueue('end', 0);
    });
    to.on('drain', () => {
      this.pass();
    });
  }

  /** Nothing passes any more, and neither side is told. */
  kill(): void {
    this.dead = true;
    clearTimeout(this.timer);
    this.from.pause();
  }

  private take(data: Buffer): void {
    const { bytesPerSecond } = this.faults;
    const pieceBytes = Math.max(1, Math.min(data.length, Math.floor(bytesPerSecond * pieceS)));
    for (let at = 0; at < data.length; at += pieceBytes) {
      const piece = data.subarray(at, at + pieceBytes);
      this.enqueue(piece, piece.length / bytesPerSecond);
    }
    const most = Number.isFinite(bytesPerSecond) ? narrowQueueBytes : wideQueueBytes;
    if (this.queuedBytes > most) this.from.pause();
  }

  private enqueue(piece: Buffer | 'end', seconds: number): void {
    this.sentMs = Math.max(this.sentMs, performance.now()) + seconds * 1000;
    this.queue.push({ dueMs: this.sentMs + this.faults.roundTripMs / 2, piece });
    this.queuedBytes += piece.length;
    this.pass();
  }

  private pass(): void {
    if (this.dead) return;
    clearTimeout(this.timer);
    for (let next = this.queue[0]; next && !this.to.writableNeedDrain; next = this.queue[0]) {
      const earlyMs = next.dueMs - performance.now();
      if (earlyMs > 0) {
        this.timer = setTimeout(() => {
          this.pass();
        }, earlyMs);
        return;
      }
      this.queue.shift();
      if (next.piece === 'end') {
        this.to.end();
      } else {
        this.queuedBytes -= next.piece.length;
        this.to.write(next.piece);
      }
    }
    if (this.queuedBytes < narrowQueueBytes / 2) this.from.resume();
  }
}

interface Connection {
  links: readonly Link[];
  cut: () => void;
}

export class FaultProxy {
  /** Changed by tests; {@link heal} makes the network sound again. */
  readonly faults: Faults = { ...sound };
  /** Connections that were accepted since it listens. */
  accepted = 0;
  private readonly connections = new Set<Connection>();
  private readonly server = createServer({ allowHalfOpen: true }, (client) => {
    this.accept(client);
  });
  private readonly lossTimer = setInterval(() => {
    for (const { cut } of this.connections) if (this.isLost()) cut();
  }, 1000);
  private swallowing = false;

  private constructor(
    private readonly targetPort: number,
    private readonly random: () => number,
  ) {}

  /**
   * @param targetPort where the server listens on loopback, now or later
   * @param seed of what is lost
   */
  static async listen(targetPort: number, seed = 1): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPort, seededRandom(seed));
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Connections that are open, those that nothing passes through included. */
  get open(): number {
    return this.connections.size;
  }

  /** Resets all connections, as when a cable is pulled and both sides are told. New ones are served. */
  cut(): void {
    for (const { cut } of this.connections) cut();
  }

  /**
   * The network is gone and nobody is told: open connections carry nothing any more, new ones are accepted and get no answer, until
   * {@link heal}. Those of that time stay as they are; who has one must find out by themselves.
   */
  swallow(): void {
    this.swallowing = true;
    for (const { links } of this.connections) for (const link of links) link.kill();
  }

  /** New connections are served as by a sound network, and open ones go on so. */
  heal(): void {
    this.swallowing = false;
    Object.assign(this.faults, sound);
  }

  async close(): Promise<void> {
    clearInterval(this.lossTimer);
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private isLost(): boolean {
    return this.faults.loss > 0 && this.random() < this.faults.loss;
  }

  private accept(client: Socket): void {
    this.accepted += 1;
    if (this.isLost()) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ port: this.targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const links = [new Link(client, server, this.faults), new Link(server, client, this.faults)];
    const connection: Connection = {
      links,
      cut: () => {
        this.connections.delete(connection);
        for (const link of links) link.kill();
        client.resetAndDestroy();
        server.resetAndDestroy();
      },
    };
    this.connections.add(connection);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      // Its close follows.
      socket.on('error', () => undefined);
      socket.on('close', (hadError) => {
        if (hadError) connection.cut();
        else if (client.destroyed && server.destroyed) this.connections.delete(connection);
      });
    }
    if (this.swallowing) for (const link of links) link.kill();
  }
}
