/** A client of the gateway's HTTP API, for pages and for programs in Node. It validates replies against the protocol. */
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

/** Fetches a path of the gateway with the caller's credentials; in a browser, `fetch` itself. */
export type FetchPath = (path: string, init: RequestInit) => Promise<Response>;

type Method = 'GET' | 'POST' | 'DELETE';

/** Statuses of a restarting gateway, or of a proxy before it: worth a retry. */
const passingStatuses = [502, 503, 504];

/**
 * The path of a session or of a part of it.
 * @param id undefined: the learner's only session, or the session of a ticket
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
 * Remembers the session that the gateway last named, and addresses it by its id from then on.
 *
 * Each method throws a LabError: the gateway's own; `lost` when no server answered; `bad-message` when the reply violates the
 * protocol; `internal` when the gateway failed without saying why.
 */
export class GatewayClient {
  readonly #fetchPath: FetchPath;
  #sessionId: string | undefined;

  constructor(fetchPath: FetchPath = (path, init) => fetch(path, init)) {
    this.#fetchPath = fetchPath;
  }

  /** How this server runs hosts. */
  getLab(): Promise<LabInfo> {
    return this.#ask('GET', '/api/lab', labInfoSchema);
  }

  /** This browser's session or queue position, for any lesson. The request keeps the position. */
  getSession(): Promise<SessionReply> {
    return this.#askForSession('GET', sessionPath(undefined));
  }

  /**
   * Requests a session for the lesson. The answer is a session or a queue position.
   * @throws LabError also `session-exists` when this browser has a session for another lesson
   */
  postSession(lessonId: string): Promise<SessionReply> {
    return this.#askForSession('POST', sessionPath(undefined), { lessonId });
  }

  /** Replaces the session's pair with a fresh one. The answer may be a queue position. */
  resetSession(): Promise<SessionReply> {
    return this.#askForSession('POST', this.#path('/reset'));
  }

  /** Postpones the session's end. */
  extendSession(): Promise<SessionReply> {
    return this.#askForSession('POST', this.#path('/extend'));
  }

  /** Ends the session or leaves the queue. Succeeds when there is neither. */
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

  /** A key that lets another browser continue this session, once and within ten minutes. */
  async offerHandover(): Promise<string> {
    return (await this.#ask('POST', this.#path('/handover'), handoverReplySchema)).handover;
  }

  /**
   * Gives this browser the session of a handover key. @returns the session's lesson
   * @throws LabError also `forbidden` when the key is no longer valid; `session-exists` when this browser has another session
   */
  async takeHandover(key: string): Promise<string> {
    const path = `/api/handover/${encodeURIComponent(key)}`;
    return (await this.#ask('POST', path, handoverTakenSchema)).lessonId;
  }

  /** A terminal's kept output, as a file to save. */
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

  /** Gets a ticket. @returns a path that opens one socket to the session */
  async sessionSocket(): Promise<string> {
    const id = this.#sessionId;
    const { ticket } = await this.#ask('POST', sessionPath(id, '/ticket'), ticketReplySchema);
    return socketPath(id, ticket);
  }

  /** Gets a viewer's ticket. @returns a path that opens one socket to the grant's session */
  async watchSocket(grant: string): Promise<string> {
    const path = `/api/watch/${encodeURIComponent(grant)}/ticket`;
    return socketPath(undefined, (await this.#ask('POST', path, ticketReplySchema)).ticket);
  }

  /** The path that opens one socket with an existing ticket. */
  socketWith(ticket: string): string {
    return socketPath(this.#sessionId, ticket);
  }

  /** Sends any request of the API. @returns the reply's JSON; undefined when it has none */
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
    throw new LabError('bad-message', `This page does not understand the server’s answer to ${path}.`, {
      hint: 'Reload the page: it may be older than the server.',
      cause: parsed.error,
    });
  }

  /** @returns a successful response */
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
      { hint: 'Reload the page. If it fails again, the server’s log says why.' },
    );
  }
}

/** @returns undefined when the body is not JSON @throws LabError `lost` when the body does not arrive */
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
