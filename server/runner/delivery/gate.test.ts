/** Real sockets, real terminals with local programs, and pages that do what no page would do. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { decodeFrame, encodeFrame, maxInputBytes } from '../../protocol/frames';
import { closeCodes, protocolName, serverMessageSchema, type ServerMessage } from '../../protocol/messages';
import { roleHeader } from '../../protocol/runner';
import { Gate } from './gate';
import { Terminals } from '../terminal/terminals';
import { PageMessages, type PageRequests } from './page-messages';

vi.setConfig({ testTimeout: 60_000 });

/** What reaches the sandbox, by the name of the request. */
const requested: (keyof PageRequests)[] = [];
const note = (name: keyof PageRequests) => () => requested.push(name);
const requests: PageRequests = {
  noteActivity: () => undefined,
  openTerminal: note('openTerminal'),
  closeTerminal: note('closeTerminal'),
  renameTerminal: note('renameTerminal'),
  run: note('run'),
  check: note('check'),
  rewind: note('rewind'),
};
const owner = { [roleHeader]: 'owner' };
const viewer = { [roleHeader]: 'viewer' };

let directory: string;
let server: Server;
let terminals: Terminals;
const pages: Page[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gate-'));
  terminals = new Terminals(4, 1 << 20, () => ({
    onIdle: () => undefined,
    onPrompt: () => undefined,
    onRun: () => undefined,
    onExit: () => undefined,
  }));
  terminals.get('source').open(['sh', '-c', 'stty raw -echo; exec cat']);
  terminals.get('destination').open(['sh', '-c', 'stty raw -echo; sleep 1000']);
  const gate = new Gate((page) => new PageMessages(page, terminals, requests), pino({ level: 'silent' }));
  server = createServer().on('upgrade', (request, socket, head) => {
    gate.admit(request, socket, head);
  });
  server.listen(join(directory, 'sock'));
  await once(server, 'listening');
});
afterEach(async () => {
  for (const page of pages.splice(0)) page.socket.terminate();
  await sleep(20);
});
afterAll(async () => {
  for (const terminal of terminals) terminal.dispose();
  server.close();
  await rm(directory, { recursive: true });
});

class Page {
  readonly socket: WebSocket;
  readonly messages: ServerMessage[] = [];
  readonly clientId = randomUUID();
  shown = '';
  frames = 0;
  typed = 0;
  closeCode: number | undefined;
  acknowledges = true;

  constructor(headers: Record<string, string> = owner) {
    this.socket = new WebSocket(`ws+unix://${join(directory, 'sock')}:/socket`, protocolName, { headers });
    this.socket.on('message', (data: Buffer, isBinary) => {
      if (!isBinary) {
        this.messages.push(serverMessageSchema.parse(JSON.parse(data.toString())));
        return;
      }
      const frame = decodeFrame(data);
      this.frames += 1;
      this.shown += Buffer.from(frame.bytes).toString('latin1');
      if (frame.kind === 'output' && this.acknowledges) {
        this.send({ type: 'ack', terminal: 'source', offset: frame.offset + frame.bytes.length });
      }
    });
    this.socket.on('close', (code) => (this.closeCode = code));
    this.socket.on('error', () => undefined);
    pages.push(this);
  }

  static async open(
    headers: Record<string, string> = owner,
    terminal: string | null = 'source',
  ): Promise<Page> {
    const page = new Page(headers);
    await once(page.socket, 'open');
    if (terminal !== null) {
      page.attach(terminal);
      await page.until(() => page.messages.some(({ type }) => type === 'attached'));
    }
    return page;
  }

  attach(terminal: string): void {
    this.send({ type: 'attach', terminal, from: null, columns: 80, rows: 24, clientId: this.clientId });
  }

  send(message: unknown): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  frame(text: string | Uint8Array, offset = this.typed, channel = 0): void {
    const bytes = Buffer.from(text);
    this.socket.send(encodeFrame({ kind: 'input', channel, offset, bytes }));
    this.typed = offset + bytes.length;
  }

  async until(condition: () => boolean): Promise<void> {
    await vi.waitFor(
      () => {
        if (!condition())
          throw new Error(`Never so: ${String(condition)}; closed with ${this.closeCode ?? 'nothing'}`);
      },
      { timeout: 15_000, interval: 2 },
    );
  }

  async closed(): Promise<number | undefined> {
    await this.until(() => this.closeCode !== undefined);
    return this.closeCode;
  }

  /** A keystroke and its echo, in milliseconds. */
  async echo(): Promise<number> {
    const mark = `<${randomUUID()}>`;
    const begunAt = performance.now();
    this.frame(mark);
    await this.until(() => this.shown.includes(mark));
    return performance.now() - begunAt;
  }
}

const attach = (changes: object) => ({
  type: 'attach',
  terminal: 'source',
  from: 0,
  columns: 80,
  rows: 24,
  clientId: randomUUID(),
  ...changes,
});
const input = (offset: number, bytes: Uint8Array, channel = 0) =>
  encodeFrame({ kind: 'input', channel, offset, bytes });
const one = Uint8Array.of(65);

test.each<[string, string | Uint8Array, number]>([
  ['text that is no JSON', '{', closeCodes.badMessage],
  ['an unknown message', '{"type":"sudo"}', closeCodes.badMessage],
  ['a negative offset', JSON.stringify(attach({ from: -1 })), closeCodes.badMessage],
  ['an offset that is no integer', JSON.stringify(attach({ from: 1e300 })), closeCodes.badMessage],
  ['an impossible size', JSON.stringify(attach({ columns: 1e6 })), closeCodes.badMessage],
  ['a client that is no id', JSON.stringify(attach({ clientId: 'me' })), closeCodes.badMessage],
  ['a terminal that is not there', JSON.stringify(attach({ terminal: 'other' })), closeCodes.badMessage],
  ['a message that is too long', JSON.stringify(attach({ more: 'x'.repeat(5000) })), closeCodes.badMessage],
  ['a frame without header', Uint8Array.of(2), closeCodes.badMessage],
  ['an unknown kind of frame', Uint8Array.from([9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 65]), closeCodes.badMessage],
  [
    'an impossible offset',
    Uint8Array.from([2, 0, 255, 255, 255, 255, 255, 255, 255, 255, 65]),
    closeCodes.badMessage,
  ],
  [
    'an output frame',
    encodeFrame({ kind: 'output', channel: 0, offset: 0, bytes: one }),
    closeCodes.badMessage,
  ],
  ['input for a channel that never was', input(0, one, 99), closeCodes.badMessage],
  ['input after a hole', input(1, one), closeCodes.badMessage],
  ['a frame over the size limit', new Uint8Array(maxInputBytes + 11), 1009],
])('%s closes the socket with a code, and no other', async (_, data, code) => {
  const neighbour = await Page.open();
  const page = await Page.open();
  page.socket.send(data);
  expect(await page.closed()).toBe(code);
  await neighbour.echo();
});

test('whatever is sent harms nobody else', async () => {
  const neighbour = await Page.open();
  const valid = [
    attach({}),
    { type: 'detach', terminal: 'source' },
    { type: 'viewport', terminal: 'source', columns: 90, rows: 30 },
    { type: 'activate', terminal: 'source' },
    { type: 'ack', terminal: 'source', offset: 0 },
    { type: 'ping' },
  ];
  const mangled = fc
    .tuple(fc.constantFrom(...valid), fc.string(), fc.jsonValue())
    .map(([message, key, value]) => JSON.stringify({ ...message, [key]: value }));
  const frames = fc
    .record({
      kind: fc.nat({ max: 5 }),
      channel: fc.nat({ max: 255 }),
      offset: fc.oneof(fc.nat({ max: 9 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
      bytes: fc.uint8Array({ maxLength: 200 }),
    })
    .map(({ kind, channel, offset, bytes }) => {
      const frame = Buffer.alloc(10 + bytes.length);
      frame[0] = kind;
      frame[1] = channel;
      frame.writeBigUInt64BE(BigInt(offset), 2);
      frame.set(bytes, 10);
      return frame;
    });
  const sent = fc.oneof(
    fc.constantFrom(...valid.map((message) => JSON.stringify(message))),
    mangled,
    frames,
    fc.uint8Array({ maxLength: 30 }),
    fc.string(),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(sent, { minLength: 1, maxLength: 20 }), async (script) => {
      const page = await Page.open();
      for (const data of script) page.socket.send(data);
      // Closed for a reason, or still served.
      page.send({ type: 'ping' });
      await page.until(
        () => page.closeCode !== undefined || page.messages.some(({ type }) => type === 'pong'),
      );
      if (page.closeCode !== undefined)
        expect([closeCodes.badMessage, closeCodes.overloaded]).toContain(page.closeCode);
      page.socket.terminate();
      expect(neighbour.closeCode).toBeUndefined();
    }),
    { numRuns: 150 },
  );
  await neighbour.echo();
});

test.each<[string, (page: Page) => void]>([
  [
    'messages',
    (page) => {
      page.send({ type: 'ping' });
    },
  ],
  [
    'acknowledgements of nothing',
    (page) => {
      page.send({ type: 'ack', terminal: 'source', offset: 1 });
    },
  ],
  [
    'input frames',
    (page) => {
      page.frame('x');
    },
  ],
  [
    'pings',
    (page) => {
      page.socket.ping();
    },
  ],
  [
    'pongs',
    (page) => {
      page.socket.pong();
    },
  ],
])('a flood of %s is refused', async (_, send) => {
  const neighbour = await Page.open();
  const page = await Page.open();
  page.acknowledges = false;
  for (let count = 0; count < 5000 && page.socket.readyState === WebSocket.OPEN; count++) send(page);
  expect(await page.closed()).toBe(closeCodes.overloaded);
  await neighbour.echo();
});

test('a page cannot ask for screens without end', async () => {
  const neighbour = await Page.open();
  const page = await Page.open();
  for (let count = 0; count < 100; count++) page.attach('source');
  expect(await page.closed()).toBe(closeCodes.overloaded);
  await neighbour.echo();
});

test('many megabytes of input at once are refused', async () => {
  const page = await Page.open();
  const bytes = Buffer.alloc(maxInputBytes);
  // The same bytes again and again: none are typed, all have to be looked at.
  for (let count = 0; count < 100 && page.socket.readyState === WebSocket.OPEN; count++) {
    page.socket.send(input(0, bytes.subarray(0, count === 0 ? 10 : undefined)));
  }
  expect(await page.closed()).toBe(closeCodes.overloaded);
});

test('more input than the program reads is refused, and its terminal’s other pages stay', async () => {
  const neighbour = await Page.open(owner, 'destination');
  const page = await Page.open(owner, 'destination');
  page.frame(Buffer.alloc(maxInputBytes), 0, 1);
  page.frame(Buffer.alloc(maxInputBytes), maxInputBytes, 1);
  expect(await page.closed()).toBe(closeCodes.overloaded);
  neighbour.send({ type: 'ping' });
  await neighbour.until(() => neighbour.messages.some(({ type }) => type === 'pong'));
});

test('frames that are replayed are typed once, and the socket stays', async () => {
  const page = await Page.open();
  const mark = `<${randomUUID()}>`;
  for (let count = 0; count < 5; count++) page.frame(mark, 0);
  await page.echo();
  expect(page.shown.split(mark)).toHaveLength(2);
  const given = () => page.messages.findLast((message) => message.type === 'input-ack');
  await page.until(() => given()?.offset === page.typed);
});

test('who takes nothing is sent little, and the flood goes on for who does', async () => {
  const neighbour = await Page.open();
  const page = await Page.open();
  page.socket.pause();
  const before = process.memoryUsage().rss;
  const flood = Buffer.alloc(maxInputBytes, 'flood ');
  let typed = 0;
  for (let count = 0; count < 150; count++) {
    await neighbour.until(() => {
      const given = neighbour.messages.findLast((message) => message.type === 'input-ack');
      return typed === 0 || (given?.type === 'input-ack' && given.offset === typed);
    });
    neighbour.frame(flood.subarray(0, 32 * 1024), typed);
    typed += 32 * 1024;
    neighbour.shown = '';
    neighbour.messages.splice(0, neighbour.messages.length - 3);
    await sleep(8);
  }
  await neighbour.echo();
  expect(page.frames).toBeLessThan(20);
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20);
}, 120_000);

test('many small frames that are acknowledged all at once are no flood', async () => {
  const page = await Page.open();
  page.acknowledges = false;
  const offsets: number[] = [];
  page.socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary) offsets.push(decodeFrame(data).offset + decodeFrame(data).bytes.length);
  });
  for (let count = 0; count < 1500; count++) {
    page.frame('x');
    // Below the limit of frames a second.
    if (count > 400) await sleep(3);
  }
  await page.until(() => page.shown.length >= 1500);
  for (const offset of offsets) page.send({ type: 'ack', terminal: 'source', offset });
  await page.echo();
  expect(page.closeCode).toBeUndefined();
});

test.each<[string, (page: Page) => void]>([
  [
    'type',
    (page) => {
      page.frame('x');
    },
  ],
  [
    'set the size',
    (page) => {
      page.send({ type: 'viewport', terminal: 'source', columns: 9, rows: 9 });
    },
  ],
  [
    'become the active page',
    (page) => {
      page.send({ type: 'activate', terminal: 'source' });
    },
  ],
  [
    'open a terminal',
    (page) => {
      page.send({ type: 'open-terminal', host: 'source', requestId: randomUUID() });
    },
  ],
  [
    'close a terminal',
    (page) => {
      page.send({ type: 'close-terminal', terminal: 'source' });
    },
  ],
  [
    'rename a terminal',
    (page) => {
      page.send({ type: 'rename-terminal', terminal: 'source', name: 'mine' });
    },
  ],
  [
    'run a command',
    (page) => {
      page.send({
        type: 'run',
        runId: randomUUID(),
        stepId: 'a',
        block: 0,
        terminal: 'source',
        whenBusy: 'interrupt',
      });
    },
  ],
  [
    'check',
    (page) => {
      page.send({ type: 'check', stepId: 'a' });
    },
  ],
  [
    'go back',
    (page) => {
      page.send({ type: 'rewind', stepId: 'a' });
    },
  ],
  [
    'keep the session alive',
    (page) => {
      page.send({ type: 'here' });
    },
  ],
])('a viewer may not %s', async (_, attempt) => {
  const ownerPage = await Page.open();
  const viewerPage = await Page.open(viewer);
  viewerPage.send({ type: 'ping' });
  await viewerPage.until(() => viewerPage.messages.some(({ type }) => type === 'pong'));
  attempt(viewerPage);
  expect(await viewerPage.closed()).toBe(closeCodes.forbidden);
  expect(requested).toEqual([]);
  await ownerPage.echo();
});

test('a viewer sees what the owner sees', async () => {
  const ownerPage = await Page.open();
  const viewerPage = await Page.open(viewer);
  await ownerPage.echo();
  await viewerPage.until(() => viewerPage.shown.endsWith(ownerPage.shown.slice(-38)));
  expect(viewerPage.messages.findLast(({ type }) => type === 'size')).toMatchObject({ active: false });
});

test('a viewer cannot make the terminal forget what the owner has typed', async () => {
  const ownerPage = await Page.open();
  await ownerPage.echo();
  // Each as often as it may, and more often together than a terminal remembers.
  for (let viewers = 0; viewers < 3; viewers++) {
    const viewerPage = await Page.open(viewer);
    for (let count = 0; count < 50; count++) {
      const answers = () => viewerPage.messages.filter(({ type }) => type === 'attached').length;
      const before = answers();
      viewerPage.send(attach({ clientId: randomUUID() }));
      await viewerPage.until(() => answers() > before);
    }
  }
  await ownerPage.echo();
  expect(ownerPage.closeCode).toBeUndefined();
});

test('a page that attaches again stays the active one', async () => {
  const page = await Page.open();
  const other = await Page.open();
  page.send({ type: 'viewport', terminal: 'source', columns: 91, rows: 31 });
  page.frame('x');
  const size = (of: Page) => of.messages.findLast((message) => message.type === 'size');
  await other.until(() => size(other)?.columns === 91);
  page.send({ type: 'attach', terminal: 'source', from: 0, columns: 92, rows: 32, clientId: page.clientId });
  await other.until(() => size(other)?.columns === 92);
  expect(other.messages.filter((message) => message.type === 'size' && message.active)).toEqual([]);
  await page.until(() => size(page)?.active === true && size(page)?.columns === 92);
});

const refusedWith = async (headers: Record<string, string>) => {
  const page = new Page(headers);
  const [error] = (await once(page.socket, 'error')) as [Error];
  return error.message;
};

test.each([
  ['no role', {}],
  ['an empty role', { [roleHeader]: '' }],
  ['an unknown role', { [roleHeader]: 'admin' }],
  ['two roles', { [roleHeader]: 'viewer, owner' }],
])('a handshake with %s is refused', async (_, headers) => {
  expect(await refusedWith(headers)).toContain('400');
});

test('there is a limit of pages for each role', async () => {
  for (let count = 0; count < 8; count++) await Page.open(owner, null);
  expect(await refusedWith(owner)).toContain('429');
  // Viewers take no place of an owner's.
  for (let count = 0; count < 20; count++) await Page.open(viewer, null);
  expect(await refusedWith(viewer)).toContain('429');
});
