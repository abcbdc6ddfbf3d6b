/** The gateway's HTTP API under /api, see protocol/messages.ts for the bodies. */
import { createHash, randomBytes } from 'node:crypto';
import { Hono, type Context } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Logger } from 'pino';
import { LabError, type ErrorCode } from '../protocol/errors';
import { parseMessage, sessionRequestSchema, type LabInfo } from '../protocol/messages';
import { sessionInfo } from '../store/sessions';
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
  log: Logger;
}

export function createApi({ sessions, tickets, lab, lessonIds, origins, log }: ApiOptions) {
  const api = new Hono().basePath('/api');

  const owner = (context: Context): string | undefined => {
    const cookie = getCookie(context, cookieName);
    return cookie === undefined ? undefined : hashOwner(cookie);
  };
  const mySession = async (context: Context) => {
    const mine = owner(context);
    const spec = mine === undefined ? undefined : await sessions.find(mine);
    if (!spec)
      throw new LabError('no-session', 'You have no running session.', { hint: 'Start your two hosts.' });
    return spec;
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
  api.get('/lab', (context) => context.json(lab));

  api.get('/session', async (context) => {
    const mine = owner(context);
    const spec = mine === undefined ? undefined : await sessions.find(mine);
    return context.json({ session: spec ? sessionInfo(spec) : null, queue: null });
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
    const spec = await sessions.obtain(hashOwner(cookie), lessonId);
    return context.json({ session: sessionInfo(spec), queue: null });
  });

  api.delete('/session', async (context) => {
    const spec = await mySession(context);
    await sessions.end(spec.id, 'by-learner');
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
