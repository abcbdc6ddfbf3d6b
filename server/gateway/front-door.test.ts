/**
 * The gateway's API and socket proxy as a stranger meets them over TCP. The stand-ins behind them only remember what reached them;
 * gateway.pair.test.ts and grants.pair.test.ts have a real runner and a real pair there.
 */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { getRequestListener } from '@hono/node-server';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import {
  grantReplySchema,
  handoverReplySchema,
  ticketReplySchema,
  type SessionReply,
} from '../protocol/http';
import { closeCodes, protocolName } from '../protocol/messages';
import { sessionInfo } from '../store/leases';
import { createApi, hashOwner } from './api';
import { Handovers } from './handovers';
import { RateLimits } from './rate-limits';
import type { HeldLease } from './session-state';
import { proxySocket } from './socket-proxy';
import { Tickets } from './tickets';
import { ViewerSockets } from './viewer-sockets';

// They end what hangs. Nothing here is a matter of speed: a machine may be busy with other things.
const waitMs = 240_000;
vi.setConfig({ testTimeout: 300_000, expect: { poll: { timeout: waitMs } } });

const origin = 'https://lab.example';
const cookieName = '__Host-live-migration-lab';
const mine = { origin, cookie: `${cookieName}=mine` };

const leaseOf = (cookie: string, number: string): HeldLease => ({
  id: `session-${number}`,
  sandboxId: `sandbox-${number}`,
  ownerHash: hashOwner(cookie),
  address: '192.0.2.1',
  lessonId: 'lesson',
  accelerator: 'tcg',
  createdAtMs: 0,
  endsAtMs: 1,
  extensionsLeft: 0,
  grant: null,
});

/** Two sessions, of `mine` and of `theirs`, held in memory. */
class SessionsInMemory {
  leases = [leaseOf('mine', '1'), leaseOf('theirs', '2')];
  obtained = 0;

  find = (ownerHash: string, sessionId?: string) => {
    const lease = this.#of(ownerHash);
    return Promise.resolve(sessionId === undefined || lease?.id === sessionId ? lease : undefined);
  };
  lastEnd = () => undefined;
  cannotRun = () => undefined;
  ask = (ownerHash: string): Promise<SessionReply> => {
    const lease = this.#of(ownerHash);
    return Promise.resolve({ session: lease ? sessionInfo(lease) : null, queue: null });
  };
  leave = (ownerHash: string) => {
    this.leases = this.leases.filter((lease) => lease.ownerHash !== ownerHash);
    return Promise.resolve(true);
  };
  reset = (sessionId: string) => {
    const lease = this.#require(sessionId);
    lease.sandboxId += '-fresh';
    return Promise.resolve(lease);
  };
  extend = (sessionId: string) => {
    const lease = this.#require(sessionId);
    lease.endsAtMs += 1;
    return Promise.resolve(lease);
  };
  findGranted = (grant: string) => Promise.resolve(this.leases.find((lease) => lease.grant === grant));
  isGranted = (id: string, grant: string) =>
    this.leases.some((lease) => lease.id === id && lease.grant === grant);
  obtain = (ownerHash: string) => {
    this.obtained += 1;
    return Promise.resolve({
      session: sessionInfo(this.#of(ownerHash) ?? leaseOf('new', '3')),
      queue: null,
    });
  };
  grant = (sessionId: string) => {
    const lease = this.#require(sessionId);
    lease.grant ??= `grant-${lease.id}`;
    return Promise.resolve(lease.grant);
  };
  revokeGrant = (sessionId: string) => {
    this.#require(sessionId).grant = null;
    return Promise.resolve();
  };

  #of(ownerHash: string): HeldLease | undefined {
    return this.leases.find((lease) => lease.ownerHash === ownerHash);
  }
  #require(sessionId: string): HeldLease {
    const lease = this.leases.find(({ id }) => id === sessionId);
    if (!lease) throw new Error('no such lease');
    return lease;
  }
}

/** A WebSocket server in the runner's place: it remembers handshakes and requests, and sends what it is told to. */
class RunnerStandIn {
  readonly handshakes: IncomingHttpHeaders[] = [];
  readonly requests: string[] = [];
  /** Answers requests. */
  answer = (response: ServerResponse): void => {
    response.end();
  };
  readonly server = createServer((request, response) => {
    this.requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    this.answer(response);
  });
  readonly #sockets = new WebSocketServer({ noServer: true });

  constructor() {
    this.server.on('upgrade', (request, socket, head) => {
      this.handshakes.push(request.headers);
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        // What is no frame ends the connection, as in the real one.
        webSocket.on('error', () => {
          webSocket.terminate();
        });
      });
    });
  }
  send(data: string | Uint8Array): void {
    for (const socket of this.#sockets.clients) socket.send(data);
  }
  get connections(): number {
    return this.#sockets.clients.size;
  }
}

let sessions: SessionsInMemory;
let runner: RunnerStandIn;
let tickets: Tickets;
let now: number;
let gateway: Server;
let port: number;
/** Ids of the sandboxes whose runners were connected to. */
let connected: string[];

beforeEach(async () => {
  sessions = new SessionsInMemory();
  runner = new RunnerStandIn();
  now = 0;
  tickets = new Tickets(() => now);
  connected = [];
  runner.server.listen(0, '127.0.0.1');
  await once(runner.server, 'listening');
  const runnerPort = (runner.server.address() as AddressInfo).port;
  const viewers = new ViewerSockets();
  const shared = { sessions, tickets, viewers, origins: new Set([origin]), isHttps: true };
  const log = pino({ level: 'silent' });
  const provider = {
    connect: async (id: string): Promise<Duplex> => {
      connected.push(id);
      const stream = connect(runnerPort, '127.0.0.1');
      await once(stream, 'connect');
      return stream;
    },
  };
  const api = createApi({
    ...shared,
    provider,
    handovers: new Handovers(() => now),
    scrollbackBytes: 1024,
    limits: new RateLimits(300),
    lab: { accelerator: 'tcg', acceleratorReason: '', versions: {} },
    lessonIds: new Set(['lesson']),
    trustedProxies: 1,
    log,
  });
  const listener = getRequestListener(api.fetch);
  gateway = createServer((request, response) => void listener(request, response));
  gateway.on('upgrade', (request, socket, head) => {
    void proxySocket(request, socket, head, { ...shared, provider, log });
  });
  gateway.listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  ({ port } = gateway.address() as AddressInfo);
});

afterEach(() => {
  for (const server of [gateway, runner.server]) {
    server.close();
    server.closeAllConnections();
  }
});

/** Not `fetch`, which does not send every header that an attacker can. */
async function raw(lines: readonly string[], rest = ''): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.end(`${lines.join('\r\n')}\r\n\r\n${rest}`);
  return text(socket);
}

const ask = (method: string, path: string, headers: Record<string, string>, body?: string) =>
  fetch(`http://127.0.0.1:${port}/api${path}`, { method, headers, ...(body === undefined ? {} : { body }) });

async function ticketOf(path: string, headers: Record<string, string>): Promise<string> {
  const response = await ask('POST', path, headers);
  expect(response.status).toBe(200);
  return ticketReplySchema.parse(await response.json()).ticket;
}
const ownTicket = () => ticketOf('/session/ticket', mine);

async function grantOf(): Promise<string> {
  const response = await ask('POST', '/session/grant', mine);
  return grantReplySchema.parse(await response.json()).grant;
}

async function open(
  ticket: string,
  headers: Record<string, string>,
  path = '/session/socket',
): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api${path}?ticket=${ticket}`, protocolName, {
    headers,
  });
  await once(socket, 'open');
  return socket;
}

/** What a browser says of the origin of pages that are not ours, and of one that is in a disguise. */
const foreignOrigins: [what: string, origin: string | undefined][] = [
  ['none', undefined],
  ['empty', ''],
  ['null, as of a sandboxed frame or a file', 'null'],
  ['another host', 'https://evil.example'],
  ['a subdomain', 'https://a.lab.example'],
  ['the parent domain', 'https://example'],
  ['another scheme', 'http://lab.example'],
  ['another port', 'https://lab.example:8443'],
  ['the default port, which no browser writes', 'https://lab.example:443'],
  ['another case, which no browser writes', 'https://LAB.example'],
  ['a trailing dot, which is another host to a browser', 'https://lab.example.'],
  ['a trailing slash', 'https://lab.example/'],
  ['ours at the beginning', 'https://lab.example.evil.example'],
  ['ours as the user', 'https://lab.example@evil.example'],
  ['ours at the end', 'https://evil.example/https://lab.example'],
  ['two', 'https://lab.example, https://evil.example'],
];

describe('Origin', () => {
  test.each(foreignOrigins)('%s: nothing is changed', async (_, foreign) => {
    const headers = { cookie: mine.cookie, ...(foreign === undefined ? {} : { origin: foreign }) };
    for (const [method, path] of [
      ['POST', '/session'],
      ['DELETE', '/session'],
      ['POST', '/session/ticket'],
      ['POST', '/session/grant'],
      ['DELETE', '/session/grant'],
      ['POST', '/session/handover'],
      ['POST', '/sessions/session-1/reset'],
      ['POST', '/sessions/session-1/extend'],
      ['POST', '/sessions/session-1/ticket'],
      ['POST', '/sessions/session-1/grant'],
      ['DELETE', '/sessions/session-1/grant'],
      ['POST', '/sessions/session-1/handover'],
      ['DELETE', '/sessions/session-1'],
      ['POST', '/handover/a-key'],
      ['POST', '/watch/grant-session-1/ticket'],
    ] as const) {
      const body = path === '/session' && method === 'POST' ? '{"lessonId":"lesson"}' : undefined;
      const response = await ask(method, path, headers, body);
      expect([path, response.status]).toEqual([path, 403]);
      expect(response.headers.get('set-cookie')).toBeNull();
      expect(response.headers.get('access-control-allow-origin')).toBeNull();
    }
    expect(sessions.obtained).toBe(0);
    expect(sessions.leases).toEqual([leaseOf('mine', '1'), leaseOf('theirs', '2')]);
  });

  test.each(foreignOrigins)('%s: no socket, with a good cookie and ticket', async (_, foreign) => {
    const headers = { cookie: mine.cookie, ...(foreign === undefined ? {} : { origin: foreign }) };
    await expect(open(await ownTicket(), headers)).rejects.toThrow('403');
    expect(connected).toEqual([]);
  });

  test('a preflight of another site is not answered with a permission', async () => {
    const response = await ask('OPTIONS', '/session', {
      origin: 'https://evil.example',
      'access-control-request-method': 'POST',
    });
    expect(response.status).toBe(403);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });
});

test('the cookie is for this host alone, for no script, for no request of another site, and for no plain HTTP', async () => {
  const response = await ask('POST', '/session', { origin }, '{"lessonId":"lesson"}');
  const cookie = response.headers.get('set-cookie') ?? '';
  expect(cookie).toMatch(/^__Host-live-migration-lab=[\w-]{43}; /);
  const attributes = cookie.split('; ').slice(1);
  expect(attributes).toEqual(
    expect.arrayContaining([
      'HttpOnly',
      'Secure',
      'SameSite=Strict',
      'Path=/',
      expect.stringMatching(/^Max-Age=/),
    ]),
  );
  expect(attributes.some((attribute) => attribute.startsWith('Domain'))).toBe(false);
});

test('a body that does not end is not read to its end', async () => {
  const head = ['POST /api/session HTTP/1.1', 'host: gateway', `origin: ${origin}`, 'connection: close'];
  const long = 'x'.repeat(5000);
  const lengths = [
    raw([...head, `content-length: ${long.length}`], long),
    raw([...head, 'transfer-encoding: chunked'], `${long.length.toString(16)}\r\n${long}\r\n0\r\n\r\n`),
  ];
  for (const answer of await Promise.all(lengths)) expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(sessions.obtained).toBe(0);
});

describe('a ticket', () => {
  test('opens one socket to the session that it is for, in the role that it is for', async () => {
    const ticket = await ownTicket();
    (await open(ticket, mine)).terminate();
    expect(connected).toEqual(['sandbox-1']);
    expect(runner.handshakes).toMatchObject([{ 'x-lab-role': 'owner' }]);
    await expect(open(ticket, mine)).rejects.toThrow('403');
  });

  test('is too old after 30 s', async () => {
    const ticket = await ownTicket();
    now = 30_001;
    await expect(open(ticket, mine)).rejects.toThrow('403');
  });

  test.each([
    ['without a cookie', {}],
    ['with a stranger’s cookie', { cookie: `${cookieName}=theirs` }],
    ['with the cookie under the name that another host could set', { cookie: 'live-migration-lab=mine' }],
  ])('%s opens none', async (_, cookie) => {
    await expect(open(await ownTicket(), { origin, ...cookie })).rejects.toThrow('403');
    expect(connected).toEqual([]);
  });

  test('opens none when the session is another’s by now', async () => {
    const ticket = await ownTicket();
    sessions.leases.reverse();
    const [first] = sessions.leases;
    if (first) first.ownerHash = hashOwner('mine');
    await expect(open(ticket, mine)).rejects.toThrow('403');
    expect(connected).toEqual([]);
  });

  test('is not for a browser without a session', async () => {
    expect((await ask('POST', '/session/ticket', { origin })).status).toBe(404);
    expect((await ask('POST', '/session/ticket', { origin, cookie: `${cookieName}=x` })).status).toBe(404);
  });
});

describe('a session at its own path', () => {
  const ownPath = '/sessions/session-1';
  const everything = [
    ['GET', ''],
    ['DELETE', ''],
    ['POST', '/reset'],
    ['POST', '/extend'],
    ['POST', '/ticket'],
    ['GET', '/cast?terminal=source'],
    ['POST', '/grant'],
    ['DELETE', '/grant'],
    ['POST', '/handover'],
  ] as const;

  test.each(everything)(
    'answers %s %s to its owner as the path of the only session does',
    async (method, rest) => {
      const [there, here] = [
        await ask(method, `${ownPath}${rest}`, mine),
        await ask(method, `/session${rest}`, mine),
      ];
      // A session can be ended once.
      if (method === 'DELETE' && rest === '') expect([there.status, here.status]).toEqual([204, 204]);
      else expect([there.ok, here.status]).toEqual([true, there.status]);
      expect(there.headers.get('content-type')).toBe(here.headers.get('content-type'));
    },
  );

  test('says whose session it is, and no more than that', async () => {
    const reply = await (await ask('GET', ownPath, mine)).json();
    expect(reply).toEqual({ session: sessionInfo(leaseOf('mine', '1')), queue: null });
  });

  test.each(everything)(
    'answers %s %s of another’s session as of one that does not exist',
    async (method, rest) => {
      const before = structuredClone(sessions.leases);
      const answers = await Promise.all(
        ['session-2', 'session-9', 'session-1%2f..%2fsession-2', 'session-1%00', '%', '*', ':id'].map(
          async (id) => {
            const response = await ask(method, `/sessions/${id}${rest}`, mine);
            return [response.status, await response.json()] as const;
          },
        ),
      );
      for (const answer of answers) {
        expect(answer).toEqual([
          404,
          {
            error: {
              code: 'no-session',
              message: 'You have no running session.',
              hint: 'Start your two hosts.',
            },
          },
        ]);
      }
      for (const headers of [{ origin }, { origin, cookie: `${cookieName}=nobody` }]) {
        expect((await ask(method, `${ownPath}${rest}`, headers)).status).toBe(404);
      }
      expect(sessions.leases).toEqual(before);
      expect(connected).toEqual([]);
    },
  );

  test('has no path for what is not a session’s', async () => {
    for (const [method, path] of [
      ['POST', ownPath],
      ['GET', '/sessions'],
      ['GET', '/sessions/'],
      ['GET', `${ownPath}/session-2`],
      ['POST', `${ownPath}/ticket/session-2`],
    ] as const) {
      expect([path, (await ask(method, path, mine)).status]).toEqual([path, 404]);
    }
  });

  test('opens sockets with tickets of either path, for owner and viewers', async () => {
    const ownSocket = `${ownPath}/socket`;
    (await open(await ticketOf(`${ownPath}/ticket`, mine), mine, ownSocket)).terminate();
    (await open(await ticketOf(`${ownPath}/ticket`, mine), mine)).terminate();
    (await open(await ownTicket(), mine, ownSocket)).terminate();
    const watchTicket = `/watch/${await grantOf()}/ticket`;
    (await open(await ticketOf(watchTicket, { origin }), { origin }, ownSocket)).terminate();
    (await open(await ticketOf(watchTicket, { origin }), { origin })).terminate();
    expect(connected).toEqual(new Array(5).fill('sandbox-1'));
    expect(runner.handshakes.map((headers) => headers['x-lab-role'])).toEqual([
      'owner',
      'owner',
      'owner',
      'viewer',
      'viewer',
    ]);
  });

  test.each([
    '/sessions/session-2/socket',
    '/sessions/session-9/socket',
    '/sessions//socket',
    '/sessions/session-1/socket/',
    '/sessions/session-1%2f/socket',
    '/sessions/session-2/../session-1/sockets',
    '/session/session-1/socket',
  ])('a ticket of another session opens nothing at %s', async (path) => {
    const watchTicket = await ticketOf(`/watch/${await grantOf()}/ticket`, { origin });
    await expect(open(await ownTicket(), mine, path)).rejects.toThrow('403');
    await expect(open(watchTicket, { origin }, path)).rejects.toThrow('403');
    expect(connected).toEqual([]);
  });

  test('a ticket that was tried at another session’s path is used up', async () => {
    const ticket = await ownTicket();
    await expect(open(ticket, mine, '/sessions/session-2/socket')).rejects.toThrow('403');
    await expect(open(ticket, mine)).rejects.toThrow('403');
  });

  test('keeps its tickets when its sandbox is replaced, and they open the new one', async () => {
    const ticket = await ownTicket();
    await ask('POST', `${ownPath}/reset`, mine);
    (await open(ticket, mine, `${ownPath}/socket`)).terminate();
    expect(connected).toEqual(['sandbox-1-fresh']);
  });

  test('counts with the path of the only session for what one learner may ask', async () => {
    for (let asked = 0; asked < 10; asked++) {
      expect((await ask('POST', '/session/reset', mine)).status).toBe(200);
      expect((await ask('POST', `${ownPath}/reset`, mine)).status).toBe(200);
    }
    expect((await ask('POST', '/session/reset', mine)).status).toBe(429);
    expect((await ask('POST', `${ownPath}/reset`, mine)).status).toBe(429);
  });
});

describe('an error that nobody foresaw', () => {
  const secret = 'EACCES: permission denied, open /var/lib/lab/leases/s3cret';

  test.each([
    ['an error', new Error(secret, { cause: new Error(secret) })],
    [
      'an error of the file system',
      Object.assign(new Error(secret), { code: 'EACCES', path: '/var/lib/lab' }),
    ],
  ])('tells the browser nothing of %s that was thrown', async (_, thrown) => {
    sessions.find = () => Promise.reject(thrown);
    const response = await ask('POST', '/session/ticket', mine);
    expect(response.status).toBe(500);
    expect([...response.headers].join()).not.toContain('lab/');
    expect(await response.json()).toEqual({
      error: {
        code: 'internal',
        message: 'Answering the request: an unexpected error.',
        hint: 'Try again. If it fails again, the server’s log says more.',
      },
    });
  });
});

describe('a handover', () => {
  const keyOf = async (): Promise<string> => {
    const response = await ask('POST', '/session/handover', mine);
    return handoverReplySchema.parse(await response.json()).handover;
  };
  const take = (key: string, headers: Record<string, string> = { origin }) =>
    ask('POST', `/handover/${key}`, headers);

  test('gives a browser without a session the learner’s cookie, once', async () => {
    const key = await keyOf();
    const response = await take(key);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ lessonId: 'lesson' });
    expect(response.headers.get('set-cookie')).toMatch(
      /^__Host-live-migration-lab=mine; .*HttpOnly; Secure; SameSite=Strict$/,
    );
    const again = await take(key);
    expect(again.status).toBe(403);
    expect(again.headers.get('set-cookie')).toBeNull();
  });

  test('is too old after ten minutes, and worth nothing once there is a newer one', async () => {
    const older = await keyOf();
    const key = await keyOf();
    expect((await take(older)).status).toBe(403);
    now = 600_001;
    expect((await take(key)).status).toBe(403);
  });

  test('does not take a browser’s own session from it, and stays good until that has ended', async () => {
    const key = await keyOf();
    const theirs = { origin, cookie: `${cookieName}=theirs` };
    const refused = await take(key, theirs);
    expect(refused.status).toBe(409);
    expect(refused.headers.get('set-cookie')).toBeNull();
    sessions.leases.pop();
    expect((await take(key, theirs)).status).toBe(200);
  });

  test('is worth nothing when its session has ended or is another one by now', async () => {
    const key = await keyOf();
    const [lease] = sessions.leases;
    if (lease) lease.id = 'session-3';
    expect((await take(key)).status).toBe(403);
    const next = await keyOf();
    sessions.leases.shift();
    expect((await take(next)).status).toBe(403);
  });

  test('is not for a browser without a session', async () => {
    expect((await ask('POST', '/session/handover', { origin })).status).toBe(404);
    expect((await take('guessed')).status).toBe(403);
  });
});

describe('a grant', () => {
  test('lets anyone watch, as a viewer, without a cookie', async () => {
    const grant = await grantOf();
    const ticket = await ticketOf(`/watch/${grant}/ticket`, { origin });
    (await open(ticket, { origin })).terminate();
    expect(connected).toEqual(['sandbox-1']);
    expect(runner.handshakes).toMatchObject([{ 'x-lab-role': 'viewer' }]);
  });

  test('makes its owner no more than a viewer either', async () => {
    const ticket = await ticketOf(`/watch/${await grantOf()}/ticket`, mine);
    (await open(ticket, mine)).terminate();
    expect(runner.handshakes).toMatchObject([{ 'x-lab-role': 'viewer' }]);
  });

  test('that was made up, or revoked, gives no ticket', async () => {
    const grant = await grantOf();
    for (const guess of ['x', 'null', 'undefined', '%00', `${grant}x`, encodeURIComponent('../session')]) {
      expect((await ask('POST', `/watch/${guess}/ticket`, { origin })).status).toBe(403);
    }
    expect((await ask('DELETE', '/session/grant', mine)).status).toBe(204);
    expect((await ask('POST', `/watch/${grant}/ticket`, { origin })).status).toBe(403);
  });

  test('that was revoked makes tickets worthless that were issued for it', async () => {
    const ticket = await ticketOf(`/watch/${await grantOf()}/ticket`, { origin });
    await ask('DELETE', '/session/grant', mine);
    await expect(open(ticket, { origin })).rejects.toThrow('403');
    expect(connected).toEqual([]);
  });

  test('is the owner’s to give and to revoke', async () => {
    await grantOf();
    for (const method of ['POST', 'DELETE']) {
      expect((await ask(method, '/session/grant', { origin })).status).toBe(404);
      expect((await ask(method, '/session/grant', { origin, cookie: `${cookieName}=x` })).status).toBe(404);
    }
    expect((await ask('DELETE', '/session/grant', { origin, cookie: `${cookieName}=theirs` })).status).toBe(
      204,
    );
    expect(sessions.leases[0]?.grant).not.toBeNull();
  });

  test('that is revoked cuts viewers with code 4403, between two frames, and nobody else', async () => {
    const grant = await grantOf();
    const owner = await open(await ownTicket(), mine);
    const viewer = await open(await ticketOf(`/watch/${grant}/ticket`, { origin }), { origin });
    // The lengths at which a frame's header gets longer (RFC 6455, 5.2).
    const sizes = [0, 1, 125, 126, 65_535, 65_536, 300_000];
    const seen: number[] = [];
    viewer.on('message', (data: Buffer) => {
      seen.push(data.length);
      // It takes no more until the grant is revoked: what the network does not hold waits in the gateway.
      if (seen.length === sizes.length + 1) viewer.pause();
    });
    for (const size of sizes) runner.send(new Uint8Array(size));
    await expect.poll(() => seen).toEqual(sizes);
    // Some of it is still in flight when the grant is revoked.
    for (let sent = 0; sent < 50; sent++) runner.send(new Uint8Array(300_000));
    await expect.poll(() => viewer.isPaused).toBe(true);
    const closed = once(viewer, 'close') as Promise<[number, Buffer]>;
    await ask('DELETE', '/session/grant', mine);
    viewer.resume();
    const [code] = await closed;
    expect(code).toBe(closeCodes.forbidden);
    expect(new Set(seen.slice(sizes.length))).toEqual(new Set([300_000]));
    await expect.poll(() => runner.connections).toBe(1);
    expect(owner.readyState).toBe(WebSocket.OPEN);
  });
});

describe('a recording', () => {
  const path = '/session/cast?terminal=source-2';

  test('is a file for whoever has the session, and their own one', async () => {
    runner.answer = (response) => {
      response.setHeader('set-cookie', 'of=the-runner');
      response.end('{"version":2}\n');
    };
    for (const [cookie, id] of [
      ['mine', 'sandbox-1'],
      ['theirs', 'sandbox-2'],
    ] as const) {
      connected = [];
      const response = await ask('GET', path, { cookie: `${cookieName}=${cookie}` });
      expect(response.status).toBe(200);
      expect(await response.text()).toBe('{"version":2}\n');
      expect(response.headers.get('content-type')).toBe('application/x-asciicast');
      expect(response.headers.get('content-disposition')).toBe('attachment; filename="lesson-source-2.cast"');
      expect(response.headers.get('cache-control')).toBe('no-store');
      expect(response.headers.get('set-cookie')).toBeNull();
      expect(connected).toEqual([id]);
    }
    expect(runner.requests).toEqual(['GET /cast?terminal=source-2', 'GET /cast?terminal=source-2']);
  });

  test('is not for anybody else, with a grant to watch or without', async () => {
    const grant = await grantOf();
    for (const headers of [
      {},
      { cookie: `${cookieName}=nobody` },
      { cookie: `${cookieName}=${grant}` },
      { authorization: grant, 'x-lab-role': 'owner' },
    ]) {
      const response = await ask('GET', `${path}&grant=${grant}`, headers);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { code: 'no-session' } });
    }
    expect((await ask('GET', `/watch/${grant}/cast?terminal=source`, { origin })).status).toBe(404);
    expect(connected).toEqual([]);
  });

  test.each([
    '',
    '?terminal=',
    '?terminal=../status',
    '?terminal=a%0d%0ab',
    '?terminal=%22x',
    '?other=source',
  ])('the query “%s” does not reach a runner', async (query) => {
    expect((await ask('GET', `/session/cast${query}`, mine)).status).toBe(400);
    expect(connected).toEqual([]);
  });

  test('HEAD opens nothing', async () => {
    expect((await ask('HEAD', path, mine)).status).toBe(400);
    expect(connected).toEqual([]);
  });

  test('a runner that refuses, says nonsense or does not end takes nothing from the gateway', async () => {
    runner.answer = (response) => {
      response.writeHead(400).end('{"error":{"code":"bad-message","message":"There is no terminal."}}');
    };
    const refused = await ask('GET', path, mine);
    expect([refused.status, await refused.json()]).toMatchObject([400, { error: { code: 'bad-message' } }]);
    runner.answer = (response) => {
      response.writeHead(500).end('<html>');
    };
    // Not 400: the learner's request was right.
    expect((await ask('GET', path, mine)).status).toBe(503);
    runner.answer = (response) => response.destroy();
    expect((await ask('GET', path, mine)).status).toBe(503);
  });

  test('what breaks off or does not end never looks whole', async () => {
    // Often, since where in the gateway it is caught is chance: an earlier version let one of 150 end as if all had come.
    for (let round = 0; round < 100; round++) {
      const letGo = new Promise((resolve) => {
        runner.answer = (response) => {
          response.on('close', resolve);
          const flood = (): void => {
            while (!response.destroyed && response.write('x'.repeat(64 * 1024)));
            response.once('drain', () => {
              if (round % 2 === 0) flood();
              else response.destroy();
            });
          };
          flood();
        };
      });
      const broken = await ask('GET', path, mine);
      expect(broken.status).toBe(200);
      await expect(broken.text()).rejects.toThrow('terminated');
      await letGo;
    }
  });

  test('a learner who leaves lets the runner go', async () => {
    let isOpen = true;
    runner.answer = (response) => {
      response.on('close', () => (isOpen = false));
      response.write('begun');
    };
    const response = await ask('GET', path, mine);
    await response.body?.cancel();
    await expect.poll(() => isOpen).toBe(false);
  });
});

describe('a handshake', () => {
  const handshake = (ticket: string, ...more: string[]) => [
    `GET /api/session/socket?ticket=${ticket} HTTP/1.1`,
    'host: gateway',
    'connection: Upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    `origin: ${origin}`,
    ...more,
  ];

  test('cannot choose the role, the address or the identity of its page', async () => {
    const ticket = await ticketOf(`/watch/${await grantOf()}/ticket`, { origin });
    const answer = await raw(
      handshake(
        ticket,
        'x-lab-role: owner',
        'X-Lab-Role: owner',
        'sec-websocket-protocol: live-migration-lab.v2',
        'sec-websocket-extensions: x; y="\\r\\nx-lab-role: owner"',
        `cookie: ${mine.cookie}`,
        'x-forwarded-for: 192.0.2.1',
      ),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 101 /);
    expect(runner.handshakes).toEqual([
      {
        host: 'runner',
        connection: 'Upgrade',
        upgrade: 'websocket',
        'x-lab-role': 'viewer',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-version': '13',
        'sec-websocket-protocol': 'live-migration-lab.v2',
      },
    ]);
  });

  test.each([
    ['a header that goes on in the next line', 'sec-websocket-protocol: x\r\n x-lab-role: owner', []],
    ['a bare line feed', 'sec-websocket-protocol: x\nx-lab-role: owner', []],
    ['a bare carriage return', 'sec-websocket-protocol: x\rx-lab-role: owner', []],
    ['a header within a header', 'sec-websocket-protocol: x, x-lab-role: owner', ['viewer']],
    ['two of a header', 'sec-websocket-key: x\r\nx-lab-role: owner', ['viewer']],
  ])('%s makes no owner of a viewer', async (_, line, roles) => {
    const ticket = await ticketOf(`/watch/${await grantOf()}/ticket`, { origin });
    await raw(handshake(ticket, line));
    expect(runner.handshakes.map((headers) => headers['x-lab-role'])).toEqual(roles);
  });

  test.each([
    ['of another version', ['sec-websocket-version: 1']],
    ['that wants another protocol', ['upgrade: h2c', 'connection: Upgrade, HTTP2-Settings']],
    ['with a body', ['content-length: 5']],
    ['with a chunked body', ['transfer-encoding: chunked']],
  ])('%s brings no request of its own to the runner', async (_, more) => {
    const ticket = await ownTicket();
    const smuggled = 'POST /stop HTTP/1.1\r\nhost: runner\r\ncontent-length: 0\r\n\r\n';
    await raw(handshake(ticket, `cookie: ${mine.cookie}`, ...more), `0\r\n\r\n${smuggled}${smuggled}`);
    expect(runner.requests).toEqual([]);
  });

  test.each(['//', '/api/session/socket', 'http://[/', '*', '/api/session/socket?ticket=%'])(
    'for %s is refused and harms nothing',
    async (target) => {
      await raw([`GET ${target} HTTP/1.1`, ...handshake('x').slice(1)]);
      expect(connected).toEqual([]);
      (await open(await ownTicket(), mine)).terminate();
    },
  );
});

describe('asking without end', () => {
  // However long the requests take, they come within the time for which they are counted.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Asks over a few connections at a time. @returns how many requests were refused */
  const flood = async (count: number, request: () => Promise<Response>) => {
    let asked = 0;
    let refused = 0;
    const askOn = async (): Promise<void> => {
      while (asked++ < count) {
        const response = await request();
        // A connection is free for the next request when all of the answer was read.
        await response.arrayBuffer();
        if (response.status === 429) refused += 1;
      }
    };
    await Promise.all(Array.from({ length: 10 }, askOn));
    return refused;
  };

  test('for tickets is refused, with the time after which to ask again', async () => {
    expect(await flood(250, () => ask('POST', '/session/ticket', mine))).toBe(10);
    const refused = await ask('POST', '/session/ticket', mine);
    expect(await refused.json()).toMatchObject({ error: { code: 'too-many-requests' } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    // Another learner behind the same address goes on.
    await ticketOf('/session/ticket', { origin, cookie: `${cookieName}=theirs` });
  });

  test('for pairs is refused', async () => {
    const start = () => ask('POST', '/session', mine, '{"lessonId":"lesson"}');
    expect(await flood(25, start)).toBe(5);
    expect(sessions.obtained).toBe(20);
  });

  test('is counted by the address that the trusted proxy tells, not by what the asker says', async () => {
    const from = (told: string) => () =>
      ask('POST', '/session', { origin, 'x-forwarded-for': told }, '{"lessonId":"lesson"}');
    let asked = 0;
    expect(await flood(610, () => from(`10.0.0.${asked++ % 250}, 192.0.2.7`)())).toBe(10);
    expect((await from('192.0.2.7, 192.0.2.8')()).status).toBe(200);
  });
});
