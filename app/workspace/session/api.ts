/** The gateway's HTTP interface as the page uses it. */
import '../../../server/protocol/zod-without-eval';
import type { z } from 'zod';
import { LabError } from '../../../server/protocol/errors';
import { protocolName } from '../../../server/protocol/messages';
import {
  errorReplySchema,
  grantReplySchema,
  handoverReplySchema,
  handoverTakenSchema,
  labInfoSchema,
  sessionReplySchema,
  ticketReplySchema,
  type LabInfo,
  type SessionReply,
} from '../../../server/protocol/http';
import type { Socket, SocketHandlers } from '../../../server/client/connection';

/** Answers that a restarting gateway or a proxy before it gives: worth another attempt. */
const passingStatuses = [502, 503, 504];

const noAnswer = (cause: unknown): LabError =>
  new LabError('lost', 'The lab’s server does not answer.', {
    hint: 'Check that it is running and that this computer is online.',
    cause,
  });

/**
 * @returns an answer that is none of a failure
 * @throws LabError as the server sent it; `lost` when no server answered
 */
async function ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      cache: 'no-store',
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
  } catch (cause) {
    throw noAnswer(cause);
  }
  if (response.ok) return response;
  const known = errorReplySchema.safeParse(await response.json().catch(() => undefined));
  if (known.success) {
    const { code, message, hint } = known.data.error;
    throw new LabError(code, message, hint === undefined ? {} : { hint });
  }
  throw new LabError(
    passingStatuses.includes(response.status) ? 'lost' : 'internal',
    `The lab’s server answered ${response.status} to ${method} ${path}.`,
    { hint: 'Reload the page. If it stays like this, the server’s log says why.' },
  );
}

/** The body of an answer, undefined when it has none. @throws LabError as {@link ask} */
async function request(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
  const response = await ask(method, path, body);
  if (response.status === 204) return undefined;
  return response.json().catch(() => undefined);
}

function read<T>(schema: z.ZodType<T>, reply: unknown, path: string): T {
  const parsed = schema.safeParse(reply);
  if (parsed.success) return parsed.data;
  throw new LabError('bad-message', `The server’s answer to ${path} is not what this page understands.`, {
    hint: 'Reload the page: it may be older than the server.',
    cause: parsed.error,
  });
}

export async function getLab(): Promise<LabInfo> {
  return read(labInfoSchema, await request('GET', '/api/lab'), '/api/lab');
}

/** This browser's session or its place in the queue, whatever lesson it is for. Asking keeps the place. */
export async function getSession(): Promise<SessionReply> {
  return read(sessionReplySchema, await request('GET', '/api/session'), '/api/session');
}

/**
 * A pair for the lesson, or a place in the queue for one.
 * @throws LabError `session-exists` when this browser has a session for another lesson
 */
export async function postSession(lessonId: string): Promise<SessionReply> {
  const reply = await request('POST', '/api/session', { lessonId });
  return read(sessionReplySchema, reply, '/api/session');
}

/** A fresh pair for the same lesson (or a place in the queue for one); the one that there is ends. */
export async function resetSession(): Promise<SessionReply> {
  const path = '/api/session/reset';
  return read(sessionReplySchema, await request('POST', path), path);
}

/** A later end. */
export async function extendSession(): Promise<SessionReply> {
  const path = '/api/session/extend';
  return read(sessionReplySchema, await request('POST', path), path);
}

/** Gives up the session or the place in the queue; having neither any more is as good. */
export async function deleteSession(): Promise<void> {
  try {
    await request('DELETE', '/api/session');
  } catch (thrown) {
    if (!(thrown instanceof LabError && thrown.code === 'no-session')) throw thrown;
  }
}

/** A grant to look at this session's terminals; the same one until it is taken back. */
export async function grantView(): Promise<string> {
  const path = '/api/session/grant';
  return read(grantReplySchema, await request('POST', path), path).grant;
}

export async function revokeView(): Promise<void> {
  await request('DELETE', '/api/session/grant');
}

/** A key by which this session can be gone on with in another browser, once and soon. */
export async function offerHandover(): Promise<string> {
  const path = '/api/session/handover';
  return read(handoverReplySchema, await request('POST', path), path).handover;
}

/**
 * Makes the session that a key was made for this browser's. @returns the lesson that it is of
 * @throws LabError `forbidden` when the key is good no more; `session-exists` when this browser has a session of its own
 */
export async function takeHandover(key: string): Promise<string> {
  const path = `/api/handover/${encodeURIComponent(key)}`;
  return read(handoverTakenSchema, await request('POST', path), path).lessonId;
}

/** What is kept of a terminal's output, as a file to be saved. @throws LabError as the server sent it; `lost` */
export async function getCast(terminal: string): Promise<{ name: string; content: Blob }> {
  const response = await ask('GET', `/api/session/cast?${new URLSearchParams({ terminal }).toString()}`);
  const disposition = response.headers.get('content-disposition') ?? '';
  const name = /filename="([^"]+)"/.exec(disposition)?.[1] ?? `${terminal}.cast`;
  try {
    return { name, content: await response.blob() };
  } catch (cause) {
    throw noAnswer(cause);
  }
}

/** @throws LabError `lost` when it is worth trying again */
export const openSocket = (handlers: SocketHandlers): Promise<Socket> =>
  openSocketWith('/api/session/ticket', handlers);

/** The line of somebody who was given a grant. As {@link openSocket}. */
export const openWatchSocket = (grant: string, handlers: SocketHandlers): Promise<Socket> =>
  openSocketWith(`/api/watch/${encodeURIComponent(grant)}/ticket`, handlers);

async function openSocketWith(path: string, handlers: SocketHandlers): Promise<Socket> {
  const { ticket } = read(ticketReplySchema, await request('POST', path), path);
  const url = new URL('/api/session/socket', window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.searchParams.set('ticket', ticket);
  const socket = new WebSocket(url, protocolName);
  socket.binaryType = 'arraybuffer';
  socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    handlers.onMessage(event.data);
  };
  socket.onclose = ({ code }) => {
    handlers.onClose(code);
  };
  return socket;
}
