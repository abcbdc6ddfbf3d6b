/** The gateway's HTTP API under /api, see protocol/messages.ts for the bodies. */
import { createHash, randomBytes } from 'node:crypto';
import { getConnInfo } from '@hono/node-server/conninfo';
import { Hono, type Context } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Logger } from 'pino';
import { LabError, type ErrorCode } from '../protocol/errors';
import { parseMessage, sessionRequestSchema, type LabInfo, type SessionReply } from '../protocol/messages';
import { sessionInfo, type Lease } from '../store/leases';
import type { Sessions } from './sessions';
import type { Tickets } from './tickets';

export const cookieName = 'live-migration-lab';
/** The cookie names a learner, and their session may be long over when they come back. */
const cookieLifeS = 30 * 24 * 3600;
const maxBodyBytes = 4096;

const statusOf: Partial<Record<ErrorCode, ContentfulStatusCode>> = {
  'bad-message': 400,
  'bad-lesson': 404,
  forbidden: 403,
  'no-session': 404,
  'session-exists': 409,
  'no-capacity': 503,
  lost: 503,
  'cannot-run': 503,
  'too-many-sessions': 429,
};

/** What is stored and compared of a learner's cookie, so that session files give nobody's cookie away. */
export const hashOwner = (cookie: string): string => createHash('sha256').update(cookie).digest('hex');

export interface ApiOptions {
  sessions: Sessions;
  tickets: Tickets;
  lab: LabInfo;
  lessonIds: ReadonlySet<string>;
  /** Exact origins whose pages may change anything. */
  origins: ReadonlySet<string>;
  /** Proxies before this server, each of which adds the address it was asked from to `X-Forwarded-For`. */
  trustedProxies: number;
  log: Logger;
}

export function createApi(options: ApiOptions) {
  const { sessions, tickets, lab, lessonIds, origins, trustedProxies, log } = options;
  const api = new Hono().basePath('/api');

  const owner = (context: Context): string | undefined => {
    const cookie = getCookie(context, cookieName);
    return cookie === undefined ? undefined : hashOwner(cookie);
  };
  const requireOwner = (context: Context): string => {
    const mine = owner(context);
    if (mine === undefined) throw noSession(undefined);
    return mine;
  };
  const mySession = async (context: Context): Promise<Lease> => {
    const mine = requireOwner(context);
    const lease = await sessions.find(mine);
    if (!lease) throw noSession(sessions.lastEnd(mine));
    return lease;
  };
  const addressOf = (context: Context): string => {
    const forwarded = context.req.header('x-forwarded-for')?.split(',') ?? [];
    const told = trustedProxies > 0 ? forwarded.at(-trustedProxies)?.trim() : undefined;
    return told ?? getConnInfo(context).remote.address ?? 'unknown';
  };

  api.use(async (context, next) => {
    context.header('cache-control', 'no-store');
    const { method } = context.req;
    if (method !== 'GET' && method !== 'HEAD') {
      const origin = context.req.header('origin') ?? '';
      if (!origins.has(origin)) {
        throw new LabError('forbidden', `Requests from the origin ${origin || '(none)'} are refused.`, {
          hint: `Open the site at ${[...origins].join(' or ')}, or set publicOrigin.`,
        });
      }
      if (Number(context.req.header('content-length') ?? 0) > maxBodyBytes) {
        throw new LabError('bad-message', `The body is longer than ${maxBodyBytes} bytes.`);
      }
    }
    await next();
  });

  api.get('/health', (context) => context.json({ ok: true }));
  api.get('/lab', (context) => {
    const cannotRun = sessions.cannotRun()?.toWire();
    return context.json({ ...lab, ...(cannotRun ? { cannotRun } : {}) } satisfies LabInfo);
  });

  api.get('/session', async (context) => {
    const mine = owner(context);
    const reply: SessionReply =
      mine === undefined ? { session: null, queue: null } : await sessions.ask(mine);
    return context.json(reply);
  });

  api.post('/session', async (context) => {
    const { lessonId } = parseMessage(sessionRequestSchema, await context.req.text());
    if (!lessonIds.has(lessonId)) throw new LabError('bad-lesson', `There is no lesson ${lessonId}.`);
    let cookie = getCookie(context, cookieName);
    if (cookie === undefined) {
      cookie = randomBytes(32).toString('base64url');
      setCookie(context, cookieName, cookie, {
        httpOnly: true,
        sameSite: 'Strict',
        secure: context.req.header('origin')?.startsWith('https:') ?? false,
        path: '/',
        maxAge: cookieLifeS,
      });
    }
    const reply = await sessions.obtain(hashOwner(cookie), addressOf(context), lessonId);
    return context.json(reply, reply.session ? 200 : 202);
  });

  api.post('/session/reset', async (context) => {
    const lease = await sessions.reset((await mySession(context)).ownerHash);
    return context.json({ session: sessionInfo(lease), queue: null } satisfies SessionReply);
  });

  api.post('/session/extend', async (context) => {
    const lease = await sessions.extend((await mySession(context)).ownerHash);
    return context.json({ session: sessionInfo(lease), queue: null } satisfies SessionReply);
  });

  api.delete('/session', async (context) => {
    const mine = requireOwner(context);
    if (!(await sessions.leave(mine))) throw noSession(sessions.lastEnd(mine));
    return context.body(null, 204);
  });

  api.post('/session/ticket', async (context) => {
    const spec = await mySession(context);
    return context.json({ ticket: tickets.issue({ sessionId: spec.id, ownerHash: spec.ownerHash }) });
  });

  api.notFound((context) =>
    context.json({ error: new LabError('bad-message', `There is no ${context.req.path}.`).toWire() }, 404),
  );
  api.onError((thrown, context) => {
    const error = LabError.from(thrown, 'The request failed');
    const status = statusOf[error.code] ?? 500;
    if (status >= 500) log.error({ err: error }, 'request failed');
    return context.json({ error: error.toWire() }, status);
  });
  return api;
}

const noSession = (why: string | undefined): LabError =>
  new LabError('no-session', why ?? 'You have no running session.', { hint: 'Start your two hosts.' });
