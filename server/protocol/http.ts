/**
 * Bodies of the gateway's HTTP API. `/api/session` and the paths below it mean the learner's only session; `/api/sessions/<id>`
 * and the same paths below it mean the session with that id. A session of another learner answers as one that does not exist.
 */
import { z } from 'zod';
import { wireErrorSchema } from './errors';
import { acceleratorSchema, sessionInfoSchema } from './session';
import { terminalIdSchema } from './terminal';

/** A learner's position in the queue for a pair. Asking `GET /api/session` keeps it; a page that stops asking loses it. */
const queuePositionSchema = z.object({
  lessonId: z.string(),
  /** 1 is next. */
  position: z.number().int().positive(),
  /** Milliseconds until a pair is free, estimated from the sessions that run; null when nothing is known yet. */
  estimateMs: z.number().int().nonnegative().nullable(),
});
export type QueuePosition = z.infer<typeof queuePositionSchema>;

/**
 * `GET /api/session`, `POST /api/session` (a session for a lesson, or a position in the queue), `POST /api/session/reset` (a
 * fresh pair for the same session; the old one ends) and `POST /api/session/extend` (a later end).
 */
export const sessionReplySchema = z.object({
  session: sessionInfoSchema.nullable(),
  /** Never beside a session. */
  queue: queuePositionSchema.nullable(),
});
export type SessionReply = z.infer<typeof sessionReplySchema>;
/** `POST /api/session`: which lesson the session is for. */
export const sessionRequestSchema = z.object({ lessonId: z.string().min(1).max(100) });
/**
 * `POST /api/session/ticket`: opens one WebSocket to the session within 30 s, as `/api/session/socket?ticket=…` or
 * `/api/sessions/<id>/socket?ticket=…`. `POST /api/watch/:grant/ticket` answers in the same way: whoever has the grant may watch
 * the session's terminals.
 */
export const ticketReplySchema = z.object({ ticket: z.string() });
/**
 * `POST /api/session/grant`: a link by which others may watch the terminals and do nothing else, until the session ends or the
 * learner revokes the link (`DELETE /api/session/grant`). Asking again gives the same link.
 */
export const grantReplySchema = z.object({ grant: z.string() });
/**
 * `POST /api/session/handover`: a key to continue the session in another browser, once, within 10 minutes. A newer key makes the
 * older one invalid.
 */
export const handoverReplySchema = z.object({ handover: z.string() });
/**
 * `POST /api/handover/:key` gives the session to the browser that asks, and answers which lesson the session is for. A browser
 * with another session is refused with `session-exists`, and the key stays valid.
 */
export const handoverTakenSchema = z.object({ lessonId: z.string() });
/**
 * `GET /api/session/cast?terminal=…`: the output that is kept of a terminal, as an asciicast (version 2) to save. For the
 * session's owner alone.
 */
export const castQuerySchema = z.object({ terminal: terminalIdSchema });
/** Body of the answer to each request that failed. */
export const errorReplySchema = z.object({ error: wireErrorSchema });
/** `GET /api/lab`: how this server runs sandbox hosts, shown on every page. */
export const labInfoSchema = z.object({
  accelerator: acceleratorSchema,
  /** Why KVM is not used; empty with KVM. */
  acceleratorReason: z.string(),
  /** Versions in the hosts, such as `criu: 4.1.1`. */
  versions: z.record(z.string(), z.string()),
  /** Why this machine cannot run any pair, such as too little memory; absent when it can. */
  cannotRun: wireErrorSchema.optional(),
});
export type LabInfo = z.infer<typeof labInfoSchema>;
