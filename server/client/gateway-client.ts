/** The gateway's HTTP API, for pages and for programs in Node: paths, errors, and replies that are what the protocol says. */
import '../protocol/zod-without-eval';
import type { z } from 'zod';
import { LabError } from '../protocol/errors';
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
} from '../protocol/http';

/** Fetches a path of the gateway, with whatever proves who is asking; in a browser, `fetch` itself. */
export type FetchPath = (path: string, init: RequestInit) => Promise<Response>;

type Method = 'GET' | 'POST' | 'DELETE';

/** Answers of a gateway that restarts, or of a proxy before it: worth another attempt. */
const passingStatuses = [502, 503, 504];

/**
 * The path of a session, and of what belongs to it.
 * @param id undefined: the only session of whoever asks, or the one that a ticket is for
 * @param part such as `/ticket`; none for the session itself
 */
const sessionPath = (id: string | undefined, part = ''): string =>
  id === undefined ? `/api/session${part}` : `/api/sessions/${encodeURIComponent(id)}${part}`;

/** The path of a session's socket. @param ticket good for one socket */
const socketPath = (id: string | undefined, ticket: string): string =>
  `${sessionPath(id, '/socket')}?${new URLSearchParams({ ticket }).toString()}`;

const noAnswer = (cause: unknown): LabError =>
  new LabError('lost', 'The lab’s server does not answer.', {
    hint: 'Check that it is running and that this computer is online.',
    cause,
  });

/**
 * Remembers which session the gateway last said that this client has, and addresses it by its id from then on.
 *
 * Each method throws a LabError: as the gateway sent it; `lost` when no server answered; `bad-message` when the reply is not what
 * the protocol says; `internal` when the gateway failed without saying why.
 */
export class GatewayClient {
  readonly #fetchPath: FetchPath;
  #sessionId: string | undefined;

  constructor(fetchPath: FetchPath = (path, init) => fetch(path, init)) {
    this.#fetchPath = fetchPath;
  }

  /** What sandbox hosts run on. */
  getLab(): Promise<LabInfo> {
    return this.#ask('GET', '/api/lab', labInfoSchema);
  }

  /** This browser's session or its queue position, whatever lesson it is for. Asking keeps the position. */
  getSession(): Promise<SessionReply> {
    return this.#askForSession('GET', sessionPath(undefined));
  }

  /**
   * A pair for the lesson, or a queue position for one.
   * @throws LabError also `session-exists` when this browser has a session for another lesson
   */
  postSession(lessonId: string): Promise<SessionReply> {
    return this.#askForSession('POST', sessionPath(undefined), { lessonId });
  }

  /** A fresh pair for the same lesson, or a queue position for one; the current pair ends. */
  resetSession(): Promise<SessionReply> {
    return this.#askForSession('POST', this.#path('/reset'));
  }

  /** Puts the end off. */
  extendSession(): Promise<SessionReply> {
    return this.#askForSession('POST', this.#path('/extend'));
  }

  /** Gives up the session or the queue position; having neither is as good. */
  async deleteSession(): Promise<void> {
    try {
      await this.request('DELETE', this.#path());
    } catch (thrown) {
      if (!(thrown instanceof LabError && thrown.code === 'no-session')) throw thrown;
    }
    this.#sessionId = undefined;
  }

  /** A grant to watch this session's terminals; the same one until it is revoked. */
  async grantView(): Promise<string> {
    return (await this.#ask('POST', this.#path('/grant'), grantReplySchema)).grant;
  }

  async revokeView(): Promise<void> {
    await this.request('DELETE', this.#path('/grant'));
  }

  /** A key by which this session can continue in another browser, once and soon. */
  async offerHandover(): Promise<string> {
    return (await this.#ask('POST', this.#path('/handover'), handoverReplySchema)).handover;
  }

  /**
   * Makes the session that a key was made for this browser's. @returns the lesson that it is of
   * @throws LabError also `forbidden` when the key is no longer good; `session-exists` when this browser has a session of its own
   */
  async takeHandover(key: string): Promise<string> {
    const path = `/api/handover/${encodeURIComponent(key)}`;
    return (await this.#ask('POST', path, handoverTakenSchema)).lessonId;
  }

  /** What is kept of a terminal's output, as a file to be saved. */
  async getCast(terminal: string): Promise<{ name: string; content: Blob }> {
    const query = new URLSearchParams({ terminal }).toString();
    const response = await this.#fetch('GET', `${this.#path('/cast')}?${query}`);
    const disposition = response.headers.get('content-disposition') ?? '';
    const name = /filename="([^"]+)"/.exec(disposition)?.[1] ?? `${terminal}.cast`;
    try {
      return { name, content: await response.blob() };
    } catch (cause) {
      throw noAnswer(cause);
    }
  }

  /** Gets a ticket. @returns the path that opens one socket to the session */
  async sessionSocket(): Promise<string> {
    const id = this.#sessionId;
    const { ticket } = await this.#ask('POST', sessionPath(id, '/ticket'), ticketReplySchema);
    return socketPath(id, ticket);
  }

  /** Gets a viewer's ticket. @returns the path that opens one socket to the session that the grant is for */
  async watchSocket(grant: string): Promise<string> {
    const path = `/api/watch/${encodeURIComponent(grant)}/ticket`;
    return socketPath(undefined, (await this.#ask('POST', path, ticketReplySchema)).ticket);
  }

  /** The path that opens one socket with a ticket that somebody got. */
  socketWith(ticket: string): string {
    return socketPath(this.#sessionId, ticket);
  }

  /** Any request of the API. @returns the reply's JSON; undefined when it has none */
  async request(method: Method, path: string, body?: unknown): Promise<unknown> {
    return readJson(await this.#fetch(method, path, body));
  }

  #path(part = ''): string {
    return sessionPath(this.#sessionId, part);
  }

  async #askForSession(method: Method, path: string, body?: unknown): Promise<SessionReply> {
    const reply = await this.#ask(method, path, sessionReplySchema, body);
    this.#sessionId = reply.session?.id;
    return reply;
  }

  async #ask<T>(method: Method, path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> {
    const parsed = schema.safeParse(await this.request(method, path, body));
    if (parsed.success) return parsed.data;
    throw new LabError('bad-message', `The server’s answer to ${path} is not what this page understands.`, {
      hint: 'Reload the page: it may be older than the server.',
      cause: parsed.error,
    });
  }

  /** @returns a response that is no failure */
  async #fetch(method: Method, path: string, body?: unknown): Promise<Response> {
    let response: Response;
    try {
      response = await this.#fetchPath(path, {
        method,
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
    } catch (cause) {
      throw noAnswer(cause);
    }
    if (response.ok) return response;
    const known = errorReplySchema.safeParse(await readJson(response));
    if (known.success) throw LabError.fromWire(known.data.error);
    throw new LabError(
      passingStatuses.includes(response.status) ? 'lost' : 'internal',
      `The lab’s server answered ${response.status} to ${method} ${path.split('?', 1)[0] ?? ''}.`,
      { hint: 'Reload the page. If it stays like this, the server’s log says why.' },
    );
  }
}

/** @returns undefined when the body is no JSON @throws LabError `lost` when the body does not arrive */
async function readJson(response: Response): Promise<unknown> {
  let text: string;
  try {
    text = await response.text();
  } catch (cause) {
    throw noAnswer(cause);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
