/** Opens a page's WebSocket: who is asking is settled here, the WebSocket itself is spoken by the session's runner. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { parse as parseCookies } from 'hono/utils/cookie';
import type { Logger } from 'pino';
import { LabError } from '../protocol/errors';
import { roleHeader } from '../protocol/runner';
import type { SandboxProvider } from '../providers/provider';
import { cookieNameFor, hashOwner } from './api';
import type { Sessions } from './sessions';
import type { TicketHolder, Tickets } from './tickets';
import { ViewerStream, type ViewerSockets } from './viewer-sockets';

export const socketPath = '/api/session/socket';

export interface SocketProxyOptions {
  sessions: Pick<Sessions, 'find' | 'isGranted'>;
  tickets: Tickets;
  viewers: ViewerSockets;
  provider: Pick<SandboxProvider, 'connect'>;
  origins: ReadonlySet<string>;
  isHttps: boolean;
  log: Logger;
}

/**
 * The only headers of a page's handshake that reach the runner, which does not need to know more. All others are the gateway's
 * own: what a page says of its role, its address or its cookie is never passed on.
 */
const forwardedHeaders = ['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol'];

/** What is still on its way to a page, the close frame last, has this long to arrive on a slow network. */
const closingMs = 10_000;

function endSoon(socket: Duplex): void {
  socket.end();
  setTimeout(() => socket.destroy(), closingMs).unref();
}

/**
 * Checks Origin, ticket and what the ticket was issued for, as it is now; then passes bytes both ways until one side ends.
 * Every refusal is a plain 403 to the browser and a reason in the log.
 */
export async function proxySocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: SocketProxyOptions,
): Promise<void> {
  socket.on('error', () => socket.destroy());
  try {
    const holder = await admit(request, options);
    const runner = await options.provider.connect(holder.sessionId);
    // The page may have gone while the runner was asked for.
    if (socket.destroyed) {
      runner.destroy();
      return;
    }
    runner.on('error', () => runner.destroy());
    socket.on('close', () => runner.destroy());
    const forwarded = forwardedHeaders.flatMap((name) => {
      const value = request.headers[name];
      return value === undefined ? [] : [`${name}: ${String(value)}`];
    });
    const lines = [
      'GET /socket HTTP/1.1',
      'host: runner',
      'connection: Upgrade',
      'upgrade: websocket',
      `${roleHeader}: ${holder.role}`,
      ...forwarded,
    ];
    if (holder.role === 'viewer') {
      showTo(holder, socket, runner, options);
    } else {
      runner.pipe(socket);
      runner.on('close', () => {
        endSoon(socket);
      });
    }
    runner.write(`${lines.join('\r\n')}\r\n\r\n`);
    runner.write(head);
    socket.pipe(runner);
  } catch (error) {
    options.log.warn({ err: error }, 'socket refused');
    socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  }
}

/** Passes what the runner sends to a viewer, until the grant is taken back. @throws LabError `forbidden` when it is already */
function showTo(
  { sessionId, grant }: Extract<TicketHolder, { role: 'viewer' }>,
  socket: Duplex,
  runner: Duplex,
  { sessions, viewers }: SocketProxyOptions,
): void {
  const stream = new ViewerStream();
  const removed = viewers.add(sessionId, () => {
    socket.unpipe(runner);
    stream.cut();
  });
  // Asked for again now that a grant that is taken back would find this viewer.
  if (!sessions.isGranted(sessionId, grant)) {
    removed();
    runner.destroy();
    throw new LabError('forbidden', 'The grant was taken back.');
  }
  socket.on('close', removed);
  runner.on('close', () => stream.end());
  stream.on('end', () => {
    runner.destroy();
    endSoon(socket);
  });
  runner.pipe(stream).pipe(socket);
}

/** @returns whom the ticket was for, who still may attach to its session. @throws LabError `forbidden` */
async function admit(request: IncomingMessage, options: SocketProxyOptions): Promise<TicketHolder> {
  const { sessions, tickets, origins, isHttps } = options;
  const origin = request.headers.origin ?? '';
  if (!origins.has(origin)) throw new LabError('forbidden', `The origin ${origin || '(none)'} is not ours.`);
  const [, query] = (request.url ?? '').split('?');
  const holder = tickets.redeem(new URLSearchParams(query).get('ticket') ?? '');
  if (!holder) throw new LabError('forbidden', 'The ticket is unknown, used or too old.');
  if (holder.role === 'viewer') {
    if (sessions.isGranted(holder.sessionId, holder.grant)) return holder;
    throw new LabError('forbidden', 'The grant that the ticket was issued for was taken back.');
  }
  const cookieName = cookieNameFor(isHttps);
  const cookie = parseCookies(request.headers.cookie ?? '', cookieName)[cookieName];
  if (cookie === undefined) throw new LabError('forbidden', 'The handshake has no session cookie.');
  const mine = hashOwner(cookie) === holder.ownerHash ? await sessions.find(holder.ownerHash) : undefined;
  if (mine?.id !== holder.sessionId) {
    throw new LabError('forbidden', 'The ticket is for a session that is not this learner’s.');
  }
  return holder;
}
