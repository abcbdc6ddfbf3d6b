/** The gateway's HTTP API under /api. The bodies are in protocol/http.ts. */
import { createHash, randomBytes } from 'node:crypto';
import { pipeline } from 'node:stream';
import type { HttpBindings } from '@hono/node-server';
import { getConnInfo } from '@hono/node-server/conninfo';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono, type Context, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { getCookie, setCookie } from 'hono/cookie';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { castType, maxCastLength } from '../lessons/cast';
import { LabError, type ErrorCode } from '../protocol/errors';
import { parseMessage } from '../protocol/messages';
import {
  castQuerySchema,
  sessionRequestSchema,
  type grantReplySchema,
  type handoverReplySchema,
  type handoverTakenSchema,
  type LabInfo,
  type SessionReply,
  type ticketReplySchema,
} from '../protocol/http';
import { sessionInfo } from '../store/leases';
import type { SandboxProvider } from '../providers/provider';
import type { Handovers } from './handovers';
import { networkOf, retryAfterS, type RateLimits, type RequestKind } from './rate-limits';
import { openCast } from './runner-client';
import type { HeldLease } from './session-state';
import type { Sessions } from './sessions';
import type { Tickets } from './tickets';
import type { ViewerSockets } from './viewer-sockets';

type GrantReply = z.infer<typeof grantReplySchema>;
type HandoverReply = z.infer<typeof handoverReplySchema>;
type HandoverTaken = z.infer<typeof handoverTakenSchema>;
type TicketReply = z.infer<typeof ticketReplySchema>;

/**
 * The cookie that says which learner is asking. Over HTTPS its name has the prefix that keeps other hosts of the same domain
 * from setting it, and so from putting a learner into a session of theirs (RFC 6265bis, 4.1.3.2).
 */
export const cookieNameFor = (isHttps: boolean): string =>
  isHttps ? '__Host-live-migration-lab' : 'live-migration-lab';
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
  'too-many-requests': 429,
  overloaded: 429,
};

/** The part of a learner's cookie that is stored and compared, so that lease files give nobody's cookie away. */
export const hashOwner = (cookie: string): string => createHash('sha256').update(cookie).digest('hex');

export interface ApiOptions {
  sessions: Pick<
    Sessions,
    | 'ask'
    | 'cannotRun'
    | 'extend'
    | 'find'
    | 'findGranted'
    | 'grant'
    | 'lastEnd'
    | 'leave'
    | 'obtain'
    | 'reset'
    | 'revokeGrant'
  >;
  tickets: Tickets;
  handovers: Handovers;
  viewers: ViewerSockets;
  provider: Pick<SandboxProvider, 'connect'>;
  /** Output that runners keep of a terminal. */
  scrollbackBytes: number;
  limits: RateLimits;
  lab: LabInfo;
  lessonIds: ReadonlySet<string>;
  /** Exact origins whose pages may change anything. */
  origins: ReadonlySet<string>;
  /** Whether browsers reach this server over HTTPS, be it through a proxy. Without it they do so on the same machine only. */
  isHttps: boolean;
  /** Proxies before this server, each of which adds the address it was asked from to `X-Forwarded-For`. */
  trustedProxies: number;
  log: Logger;
}

export function createApi(options: ApiOptions) {
  const { sessions, tickets, handovers, viewers, provider, scrollbackBytes, limits, lab } = options;
  const { lessonIds, origins, isHttps, trustedProxies, log } = options;
  const cookieName = cookieNameFor(isHttps);
  const api = new Hono<{ Bindings: HttpBindings }>().basePath('/api');

  const owner = (context: Context): string | undefined => {
    const cookie = getCookie(context, cookieName);
    return cookie === undefined ? undefined : hashOwner(cookie);
  };
  const giveCookie = (context: Context, cookie: string): void => {
    setCookie(context, cookieName, cookie, {
      httpOnly: true,
      sameSite: 'Strict',
      secure: isHttps,
      path: '/',
      maxAge: cookieLifeS,
    });
  };
  const requireOwner = (context: Context): string => {
    const mine = owner(context);
    if (mine === undefined) throw noSession(undefined);
    return mine;
  };
  /** The session that a path names, or the owner's only one. Another learner's is as unknown as one that does not exist. */
  const mySession = async (context: Context): Promise<HeldLease> => {
    const mine = requireOwner(context);
    const lease = await sessions.find(mine, context.req.param('id'));
    if (!lease) throw noSession(sessions.lastEnd(mine));
    return lease;
  };
  const addressOf = (context: Context): string => {
    const forwarded = context.req.header('x-forwarded-for')?.split(',') ?? [];
    const told = trustedProxies > 0 ? forwarded.at(-trustedProxies)?.trim() : undefined;
    return networkOf(told ?? getConnInfo(context).remote.address ?? 'unknown');
  };
  const limited =
    (kind: RequestKind): MiddlewareHandler =>
    async (context, next) => {
      await limits.count(kind, addressOf(context), owner(context));
      await next();
    };

  api.use(async (context, next) => {
    context.header('cache-control', 'no-store');
    const { method } = context.req;
    if (method !== 'GET' && method !== 'HEAD') {
      const origin = context.req.header('origin') ?? '';
      if (!origins.has(origin)) {
        throw new LabError(
          'forbidden',
          `This server refuses requests from the origin ${origin || '(none)'}.`,
          {
            hint: `Open the site at ${[...origins].join(' or ')}. If you run this server, set publicOrigin.`,
          },
        );
      }
    }
    await next();
  });
  api.use(
    bodyLimit({
      maxSize: maxBodyBytes,
      onError: () => {
        throw new LabError('bad-message', `The body of the request is longer than ${maxBodyBytes} bytes.`);
      },
    }),
  );

  api.get('/health', (context) => context.json({ ok: true }));
  api.get('/lab', (context) => {
    const cannotRun = sessions.cannotRun()?.toWire();
    return context.json({ ...lab, ...(cannotRun ? { cannotRun } : {}) } satisfies LabInfo);
  });

  api.post('/session', limited('pair'), async (context) => {
    const { lessonId } = parseMessage(sessionRequestSchema, await context.req.text());
    if (!lessonIds.has(lessonId)) {
      throw new LabError('bad-lesson', `There is no lesson ${lessonId}.`, {
        hint: 'Choose one from the list of lessons.',
      });
    }
    let cookie = getCookie(context, cookieName);
    if (cookie === undefined) {
      cookie = randomBytes(32).toString('base64url');
      giveCookie(context, cookie);
    }
    const reply = await sessions.obtain(hashOwner(cookie), addressOf(context), lessonId);
    return context.json(reply, reply.session ? 200 : 202);
  });

  /** What both paths of a session answer: that of the owner's only session, and that of the session which the path names. */
  const session = new Hono<{ Bindings: HttpBindings }>();

  session.post('/reset', limited('pair'), async (context) => {
    const lease = await sessions.reset((await mySession(context)).id);
    return context.json({ session: sessionInfo(lease), queue: null } satisfies SessionReply);
  });

  session.post('/extend', limited('other'), async (context) => {
    const lease = await sessions.extend((await mySession(context)).id);
    return context.json({ session: sessionInfo(lease), queue: null } satisfies SessionReply);
  });

  session.post('/ticket', limited('other'), async (context) => {
    const { id: sessionId, ownerHash } = await mySession(context);
    const ticket = tickets.issue({ role: 'owner', sessionId, ownerHash });
    return context.json({ ticket } satisfies TicketReply);
  });

  session.get('/cast', limited('other'), async (context) => {
    // Nobody would read what the runner sends in answer to HEAD.
    if (context.req.method !== 'GET') throw new LabError('bad-message', 'Use GET to download a recording.');
    const query = castQuerySchema.safeParse({ terminal: context.req.query('terminal') });
    if (!query.success) throw new LabError('bad-message', 'The request names no terminal.');
    const { terminal } = query.data;
    const { id, sandboxId, lessonId } = await mySession(context);
    const cast = await openCast(provider, sandboxId, terminal, maxCastLength(scrollbackBytes));
    const { outgoing } = context.env;
    outgoing.writeHead(200, {
      'cache-control': 'no-store',
      'content-type': castType,
      'content-disposition': `attachment; filename="${lessonId}-${terminal}.cast"`,
    });
    // Not a body for Hono's adapter: it may end an answer that broke off with the error's text, and the answer would look whole.
    pipeline(cast, outgoing, (error) => {
      if (error) log.warn({ err: error, session: id, sandbox: sandboxId, terminal }, 'a recording broke off');
    });
    return RESPONSE_ALREADY_SENT;
  });

  session.post('/grant', limited('other'), async (context) => {
    const grant = await sessions.grant((await mySession(context)).id);
    return context.json({ grant } satisfies GrantReply);
  });

  session.delete('/grant', limited('other'), async (context) => {
    const { id } = await mySession(context);
    await sessions.revokeGrant(id);
    viewers.cutAll(id);
    return context.body(null, 204);
  });

  session.post('/handover', limited('other'), async (context) => {
    const { id: sessionId } = await mySession(context);
    const cookie = getCookie(context, cookieName) ?? '';
    return context.json({ handover: handovers.offer({ sessionId, cookie }) } satisfies HandoverReply);
  });

  session.get('/', async (context) => {
    if (context.req.param('id') !== undefined) {
      const lease = await mySession(context);
      return context.json({ session: sessionInfo(lease), queue: null } satisfies SessionReply);
    }
    const mine = owner(context);
    const reply: SessionReply =
      mine === undefined ? { session: null, queue: null } : await sessions.ask(mine);
    return context.json(reply);
  });

  session.delete('/', limited('other'), async (context) => {
    // A path that names a session means none but that one. Without an id it means the learner's position in the queue, too.
    const mine =
      context.req.param('id') === undefined ? requireOwner(context) : (await mySession(context)).ownerHash;
    if (!(await sessions.leave(mine))) throw noSession(sessions.lastEnd(mine));
    return context.body(null, 204);
  });

  api.route('/session', session);
  api.route('/sessions/:id', session);

  api.post('/handover/:key', limited('other'), async (context) => {
    const key = context.req.param('key');
    const handover = handovers.find(key);
    const lease = handover && (await sessions.find(hashOwner(handover.cookie), handover.sessionId));
    if (!lease) {
      throw new LabError(
        'forbidden',
        'This link was used already, is older than ten minutes, or its session has ended.',
        { hint: 'Make another link in the browser that has the session.' },
      );
    }
    const mine = owner(context);
    if (mine !== undefined && mine !== lease.ownerHash && (await sessions.find(mine)) !== undefined) {
      throw new LabError('session-exists', 'This browser has another session.', {
        hint: 'End that session first, on its lesson’s page. The link stays valid for its ten minutes.',
      });
    }
    handovers.take(key);
    giveCookie(context, handover.cookie);
    return context.json({ lessonId: lease.lessonId } satisfies HandoverTaken);
  });

  api.post('/watch/:grant/ticket', limited('other'), async (context) => {
    const grant = context.req.param('grant');
    const lease = await sessions.findGranted(grant);
    if (!lease) {
      throw new LabError(
        'forbidden',
        'This link shows nothing: its session has ended, or its owner revoked the link.',
        { hint: 'Ask the person who gave it to you for another link.' },
      );
    }
    const ticket = tickets.issue({ role: 'viewer', sessionId: lease.id, grant });
    return context.json({ ticket } satisfies TicketReply);
  });

  api.notFound((context) =>
    context.json({ error: new LabError('bad-message', `There is no ${context.req.path}.`).toWire() }, 404),
  );
  api.onError((thrown, context) => {
    const error = LabError.from(thrown, 'Answering the request');
    const status = statusOf[error.code] ?? 500;
    const seconds = retryAfterS(error.cause);
    if (seconds !== undefined) context.header('retry-after', String(seconds));
    if (status >= 500) log.error({ err: error }, 'request failed');
    return context.json({ error: error.toWire() }, status);
  });
  return api;
}

const noSession = (why: string | undefined): LabError =>
  new LabError('no-session', why ?? 'You have no running session.', { hint: 'Start your two hosts.' });
