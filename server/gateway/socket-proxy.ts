/** Opens a page's WebSocket. This checks who is asking; the session's runner speaks the WebSocket itself. */
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

/** What the target of a handshake asks for. */
export interface SocketTarget {
  /** The session that the path names; undefined for the one of the ticket. */
  sessionId: string | undefined;
  ticket: string;
}

/** @returns undefined when the target is none of the two: `/api/session/socket?ticket=…`, `/api/sessions/<id>/socket?ticket=…` */
export function socketTarget(target: string | undefined): SocketTarget | undefined {
  const found = /^\/api\/(?:session|sessions\/([\w-]+))\/socket\?(.*)$/.exec(target ?? '');
  if (!found) return undefined;
  return { sessionId: found[1], ticket: new URLSearchParams(found[2]).get('ticket') ?? '' };
}

export interface SocketProxyOptions {
  sessions: Pick<Sessions, 'find' | 'findGranted' | 'isGranted'>;
  tickets: Tickets;
  viewers: ViewerSockets;
  provider: Pick<SandboxProvider, 'connect'>;
  origins: ReadonlySet<string>;
  isHttps: boolean;
  log: Logger;
}

/**
 * The only headers of a page's handshake that reach the runner, which does not need to know more. The gateway writes all others
 * itself. It never forwards a page's claims about its role, address or cookie.
 */
const forwardedHeaders = ['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol'];

/** Bytes in flight to a page, the close frame last, have this long to arrive on a slow network. */
const closingMs = 10_000;

function endSoon(socket: Duplex): void {
  socket.end();
  setTimeout(() => socket.destroy(), closingMs).unref();
}

/**
 * Checks Origin, ticket and what the ticket was issued for, as it is now. Then passes bytes both ways until one side ends.
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
    const { holder, sandboxId } = await admit(request, options);
    const runner = await options.provider.connect(sandboxId);
    // The page may have gone while the runner was connected to.
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

/** Passes what the runner sends to a viewer, until the grant is revoked. @throws LabError `forbidden` when it is already */
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
  // Checked again, now that revoking the grant would cut this viewer too.
  if (!sessions.isGranted(sessionId, grant)) {
    removed();
    runner.destroy();
    throw new LabError('forbidden', 'The grant was revoked.');
  }
  socket.on('close', removed);
  runner.on('close', () => stream.end());
  stream.on('end', () => {
    runner.destroy();
    endSoon(socket);
  });
  runner.pipe(stream).pipe(socket);
}

/** @returns the holder of the ticket, who still may attach to its session, and the session's sandbox. @throws LabError `forbidden` */
async function admit(
  request: IncomingMessage,
  options: SocketProxyOptions,
): Promise<{ holder: TicketHolder; sandboxId: string }> {
  const { sessions, tickets, origins, isHttps } = options;
  const origin = request.headers.origin ?? '';
  if (!origins.has(origin))
    throw new LabError('forbidden', `This server refuses sockets from the origin ${origin || '(none)'}.`);
  const target = socketTarget(request.url);
  const holder = target && tickets.redeem(target.ticket);
  if (!holder) throw new LabError('forbidden', 'The ticket is unknown, used or too old.');
  if (target.sessionId !== undefined && target.sessionId !== holder.sessionId) {
    throw new LabError('forbidden', 'The ticket is for another session than the path names.');
  }
  if (holder.role === 'viewer') {
    const granted = sessions.isGranted(holder.sessionId, holder.grant)
      ? await sessions.findGranted(holder.grant)
      : undefined;
    if (granted?.id === holder.sessionId) return { holder, sandboxId: granted.sandboxId };
    throw new LabError('forbidden', 'The grant that the ticket was issued for was revoked.');
  }
  const cookieName = cookieNameFor(isHttps);
  const cookie = parseCookies(request.headers.cookie ?? '', cookieName)[cookieName];
  if (cookie === undefined) throw new LabError('forbidden', 'The handshake has no session cookie.');
  const mine =
    hashOwner(cookie) === holder.ownerHash
      ? await sessions.find(holder.ownerHash, holder.sessionId)
      : undefined;
  if (!mine) throw new LabError('forbidden', 'The ticket is for a session that is not this learner’s.');
  return { holder, sandboxId: mine.sandboxId };
}
