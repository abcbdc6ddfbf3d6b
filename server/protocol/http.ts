/** Bodies of the gateway's HTTP API. */
import { z } from 'zod';
import { wireErrorSchema } from './errors';
import { acceleratorSchema, sessionInfoSchema } from './session';
import { terminalIdSchema } from './terminal';

/** A learner's place in the queue for a pair. Asking `GET /api/session` keeps it; who does not ask for a minute loses it. */
const queuePositionSchema = z.object({
  lessonId: z.string(),
  /** 1 is next. */
  position: z.number().int().positive(),
  /** Milliseconds until a pair is free, estimated from the sessions that run; null when nothing is known yet. */
  estimateMs: z.number().int().nonnegative().nullable(),
});
export type QueuePosition = z.infer<typeof queuePositionSchema>;

/**
 * `GET /api/session`, `POST /api/session` (a pair for a lesson, or a place in the queue), `POST /api/session/reset` (a fresh
 * pair for the same lesson, the old one ends) and `POST /api/session/extend` (a later end).
 */
export const sessionReplySchema = z.object({
  session: sessionInfoSchema.nullable(),
  /** Never beside a session. */
  queue: queuePositionSchema.nullable(),
});
export type SessionReply = z.infer<typeof sessionReplySchema>;
/** `POST /api/session`: which lesson the pair is for. */
export const sessionRequestSchema = z.object({ lessonId: z.string().min(1).max(100) });
/** `POST /api/session/ticket`: opens one WebSocket within 30 s as `/api/session/socket?ticket=…`. */
export const ticketReplySchema = z.object({ ticket: z.string() });
/** `POST /api/watch/:grant/ticket` answers as {@link ticketReplySchema}: whoever has the grant may look at the session's terminals. */
/**
 * `POST /api/session/grant`: a link by which others may look at the terminals and nothing else, until the session ends or the
 * learner takes it back (`DELETE /api/session/grant`). Asking again gives the same one.
 */
export const grantReplySchema = z.object({ grant: z.string() });
/**
 * `POST /api/session/handover`: a key by which the session can be gone on with in another browser, once, within 10 minutes; a
 * further one makes the one before worthless.
 */
export const handoverReplySchema = z.object({ handover: z.string() });
/**
 * `POST /api/handover/:key` gives the browser that asks the session, and answers which lesson it is of. A browser with a session
 * of its own is refused with `session-exists`, and the key stays good.
 */
export const handoverTakenSchema = z.object({ lessonId: z.string() });
/**
 * `GET /api/session/cast?terminal=…`: what is kept of a terminal's output, as an asciicast (version 2) to be saved. For the
 * session's owner alone.
 */
export const castQuerySchema = z.object({ terminal: terminalIdSchema });
/** Body of each failed HTTP request. */
export const errorReplySchema = z.object({ error: wireErrorSchema });
/** `GET /api/lab`: what this server runs sandbox hosts with, shown on every page. */
export const labInfoSchema = z.object({
  accelerator: acceleratorSchema,
  /** Why KVM is not used; empty with KVM. */
  acceleratorReason: z.string(),
  /** Versions inside of the hosts, such as `criu: 4.1.1`. */
  versions: z.record(z.string(), z.string()),
  /** Why this machine cannot run any pair, such as too little memory; absent when it can. */
  cannotRun: wireErrorSchema.optional(),
});
export type LabInfo = z.infer<typeof labInfoSchema>;
