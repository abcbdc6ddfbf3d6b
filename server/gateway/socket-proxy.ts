/** Opens a learner's WebSocket: who is asking is settled here, the WebSocket itself is spoken by the session's runner. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { parse as parseCookies } from 'hono/utils/cookie';
import type { Logger } from 'pino';
import { LabError } from '../protocol/errors';
import type { SandboxProvider } from '../providers/provider';
import { cookieName, hashOwner } from './api';
import type { Sessions } from './sessions';
import type { Tickets } from './tickets';

export const socketPath = '/api/session/socket';

export interface SocketProxyOptions {
  sessions: Sessions;
  tickets: Tickets;
  provider: SandboxProvider;
  origins: ReadonlySet<string>;
  log: Logger;
}

/** Handshake headers that the runner needs; cookies and addresses are not its business. */
const forwardedHeaders = [
  'connection',
  'upgrade',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
];

/**
 * Checks Origin, cookie and ticket, and that the session still is this learner's; then passes bytes both ways until one side ends.
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
    const sessionId = await admit(request, options);
    const runner = await options.provider.connect(sessionId);
    runner.on('error', () => socket.destroy());
    runner.on('close', () => socket.destroy());
    socket.on('close', () => runner.destroy());
    const headers = forwardedHeaders.flatMap((name) => {
      const value = request.headers[name];
      return value === undefined ? [] : [`${name}: ${String(value)}\r\n`];
    });
    runner.write(`GET /socket HTTP/1.1\r\nhost: runner\r\n${headers.join('')}\r\n`);
    runner.write(head);
    runner.pipe(socket);
    socket.pipe(runner);
  } catch (error) {
    options.log.warn({ err: error }, 'socket refused');
    socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  }
}

/** @returns the session that may be attached to. @throws LabError `forbidden` */
async function admit(request: IncomingMessage, options: SocketProxyOptions): Promise<string> {
  const { sessions, tickets, origins } = options;
  const origin = request.headers.origin ?? '';
  if (!origins.has(origin)) throw new LabError('forbidden', `The origin ${origin || '(none)'} is not ours.`);
  const cookie = parseCookies(request.headers.cookie ?? '', cookieName)[cookieName];
  if (cookie === undefined) throw new LabError('forbidden', 'The handshake has no session cookie.');
  const url = new URL(request.url ?? '/', 'http://gateway');
  const holder = tickets.redeem(url.searchParams.get('ticket') ?? '');
  if (!holder) throw new LabError('forbidden', 'The ticket is unknown, used or too old.');
  const ownerHash = hashOwner(cookie);
  const mine = await sessions.find(ownerHash);
  if (holder.ownerHash !== ownerHash || mine?.id !== holder.sessionId) {
    throw new LabError('forbidden', 'The ticket is for a session that is not this learner’s.');
  }
  return holder.sessionId;
}
