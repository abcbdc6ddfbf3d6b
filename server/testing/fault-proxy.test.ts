import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FaultProxy, seededRandom } from './fault-proxy';

/** Echoes what it receives. */
let echo: Server;
let served: Socket[];
let proxy: FaultProxy;

beforeEach(async () => {
  served = [];
  echo = createServer((socket) => {
    served.push(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await FaultProxy.listen((echo.address() as AddressInfo).port);
});

afterEach(async () => {
  await proxy.close();
  echo.close();
});

/** Unlike `once` of node:events, it also resolves when an error precedes the close. */
const closeOf = (socket: Socket) =>
  new Promise<void>((closed) =>
    socket.once('close', () => {
      closed();
    }),
  );

class Client {
  readonly socket = connect(proxy.port, '127.0.0.1');
  readonly closed = closeOf(this.socket);
  received = Buffer.alloc(0);
  error: string | undefined;

  constructor() {
    this.socket.on('data', (data) => (this.received = Buffer.concat([this.received, data])));
    this.socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code));
  }
  /** Sends bytes and measures until all come back, in milliseconds; Infinity when the connection ends first. */
  async say(bytes: Uint8Array): Promise<number> {
    const length = this.received.length + bytes.length;
    const begun = performance.now();
    this.socket.write(bytes);
    await this.until(length);
    return this.received.length < length ? Infinity : performance.now() - begun;
  }
  until(length: number): Promise<void> {
    return Promise.race([
      this.closed,
      new Promise<void>((all) => {
        const look = () => {
          if (this.received.length < length) return;
          this.socket.off('data', look);
          all();
        };
        this.socket.on('data', look);
        look();
      }),
    ]);
  }
}

/** Random bytes, so no two pieces are equal. */
function numbered(length: number): Buffer {
  const random = seededRandom(length);
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}

test('without faults every byte passes, in order, and an end is an end', async () => {
  const client = new Client();
  const sent = numbered(300_000);
  await client.say(sent);
  expect(client.received.equals(sent)).toBe(true);
  client.socket.end();
  await once(client.socket, 'end');
  await expect.poll(() => proxy.open).toBe(0);
});

/** Measures several times, fastest first: a busy machine delays some of them, but none is faster than the proxy. */
async function times(count: number, client: Client, bytes: Uint8Array): Promise<number[]> {
  const tookMs: number[] = [];
  for (let done = 0; done < count; done++) tookMs.push(await client.say(bytes));
  return tookMs.sort((a, b) => a - b);
}

test('adds the configured latency, also for many small pieces in a row', async () => {
  proxy.faults.roundTripMs = 200;
  const client = new Client();
  await once(client.socket, 'connect');
  for (const size of [1, 1000]) {
    const [fastest] = await times(5, client, numbered(size));
    expect(fastest).toBeGreaterThanOrEqual(199);
    expect(fastest).toBeLessThan(300);
  }
  const before = client.received.length;
  const begun = performance.now();
  const sent = numbered(50);
  for (const byte of sent) {
    client.socket.write(Buffer.of(byte));
    await sleep(2);
  }
  await client.until(before + 50);
  // Each piece is delayed by itself. One after the other they would take 50 times 200 ms.
  expect(performance.now() - begun).toBeLessThan((50 * 200) / 2);
  expect(client.received.subarray(-50).equals(sent)).toBe(true);
});

test('a slow link has the configured speed and loses nothing', async () => {
  proxy.faults.bytesPerSecond = 20_000;
  const client = new Client();
  const sent = numbered(10_000);
  const [fastest] = await times(5, client, sent);
  expect(fastest).toBeGreaterThan(475);
  expect(fastest).toBeLessThan(650);
  expect(client.received.equals(Buffer.concat(Array.from({ length: 5 }, () => sent)))).toBe(true);
});

test('a slow link makes a fast sender wait', async () => {
  proxy.faults.bytesPerSecond = 20_000;
  const client = new Client();
  await client.say(Buffer.of(1));
  client.socket.write(Buffer.alloc(64 * 1024 * 1024));
  await sleep(500);
  expect(process.memoryUsage().arrayBuffers).toBeLessThan(256 * 1024 * 1024);
  expect(client.socket.writableLength).toBeGreaterThan(32 * 1024 * 1024);
});

test('both sides notice a cut, and the next connection works', async () => {
  const client = new Client();
  await client.say(Buffer.of(1));
  const closed = closeOf(served[0] as Socket);
  proxy.cut();
  await client.closed;
  expect(client.error).toBe('ECONNRESET');
  await closed;
  expect(await new Client().say(Buffer.of(2))).toBeLessThan(Infinity);
});

test('a vanished network notifies nobody, accepts data, and its connections stay dead', async () => {
  const before = new Client();
  await before.say(Buffer.of(1));
  proxy.swallow();
  const during = new Client();
  await once(during.socket, 'connect');
  before.socket.write(Buffer.of(2));
  during.socket.write(Buffer.of(3));
  served[0]?.write(Buffer.of(4));
  await sleep(200);
  expect([before.received.length, during.received.length]).toEqual([1, 0]);
  expect([before.socket.destroyed, during.socket.destroyed, served[0]?.destroyed]).toEqual([
    false,
    false,
    false,
  ]);
  proxy.heal();
  expect(await new Client().say(Buffer.of(5))).toBeLessThan(Infinity);
  await sleep(200);
  expect([before.received.length, during.received.length]).toEqual([1, 0]);
  before.socket.destroy();
  during.socket.destroy();
});

test('loses connections at the configured rate, and the same ones for the same seed', async () => {
  proxy.faults.loss = 0.2;
  let lost = 0;
  for (let opened = 0; opened < 200; opened++) {
    const client = new Client();
    if ((await client.say(Buffer.of(1))) === Infinity) lost += 1;
    client.socket.destroy();
  }
  // 40 of 200, within 4.4 standard deviations. Open connections draw once a second, so the count depends on the machine.
  expect(lost).toBeGreaterThan(15);
  expect(lost).toBeLessThan(65);
  const numbers = (seed: number) => Array.from({ length: 5 }, seededRandom(seed));
  expect(numbers(7)).toEqual(numbers(7));
  expect(numbers(7)).not.toEqual(numbers(8));
});

test('can also lose an open connection', async () => {
  const client = new Client();
  await client.say(Buffer.of(1));
  proxy.faults.loss = 1;
  await client.closed;
  expect(client.error).toBe('ECONNRESET');
});

test('ends the connection when the server does not exist', async () => {
  const closed = once(echo, 'close');
  echo.close();
  await closed;
  const client = new Client();
  await client.closed;
});
