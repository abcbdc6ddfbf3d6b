/**
 * Bodies of the gateway's HTTP API. `/api/session` and the paths below it address the learner's only session. `/api/sessions/<id>`
 * and the same paths below it address the session with that id. Another learner's session answers as if it did not exist.
 */
import { z } from 'zod';
import { wireErrorSchema } from './errors';
import { acceleratorSchema, sessionInfoSchema } from './session';
import { terminalIdSchema } from './terminal';

/** A learner's position in the queue for a pair. `GET /api/session` keeps it; a page that stops asking loses it. */
const queuePositionSchema = z.object({
  lessonId: z.string(),
  /** 1 is next. */
  position: z.number().int().positive(),
  /** Milliseconds until a pair is free, estimated from the running sessions; null while there is no estimate. */
  estimateMs: z.number().int().nonnegative().nullable(),
});
export type QueuePosition = z.infer<typeof queuePositionSchema>;

/**
 * Answers `GET /api/session`, `POST /api/session` (start a session for a lesson, or get a position in the queue),
 * `POST /api/session/reset` (replace the session's pair with a fresh one) and `POST /api/session/extend` (postpone its end).
 */
export const sessionReplySchema = z.object({
  session: sessionInfoSchema.nullable(),
  /** Null when there is a session. */
  queue: queuePositionSchema.nullable(),
});
export type SessionReply = z.infer<typeof sessionReplySchema>;
/** Body of `POST /api/session`: the session's lesson. */
export const sessionRequestSchema = z.object({ lessonId: z.string().min(1).max(100) });
/**
 * Answers `POST /api/session/ticket`. The ticket opens one WebSocket to the session within 30 s, at `/api/session/socket?ticket=…`
 * or `/api/sessions/<id>/socket?ticket=…`. `POST /api/watch/:grant/ticket` answers the same way: anyone with the grant may watch the
 * session's terminals.
 */
export const ticketReplySchema = z.object({ ticket: z.string() });
/**
 * Answers `POST /api/session/grant`. The grant lets others watch the terminals, and nothing else, until the session ends or the
 * learner revokes it (`DELETE /api/session/grant`). Repeated requests return the same grant.
 */
export const grantReplySchema = z.object({ grant: z.string() });
/**
 * Answers `POST /api/session/handover`. The key lets another browser continue the session, once, within 10 minutes. A new key
 * invalidates the previous one.
 */
export const handoverReplySchema = z.object({ handover: z.string() });
/**
 * Answers `POST /api/handover/:key`, which gives the requesting browser the session, with the session's lesson. A browser with
 * another session gets the error `session-exists`, and the key stays valid.
 */
export const handoverTakenSchema = z.object({ lessonId: z.string() });
/**
 * Query of `GET /api/session/cast?terminal=…`, which returns a terminal's kept output as an asciicast (version 2) to the session's
 * owner.
 */
export const castQuerySchema = z.object({ terminal: terminalIdSchema });
/** Body of every failed request's answer. */
export const errorReplySchema = z.object({ error: wireErrorSchema });
/** Answers `GET /api/lab`: how this server runs hosts. Every page shows it. */
export const labInfoSchema = z.object({
  accelerator: acceleratorSchema,
  /** Why the server does not use KVM; empty with KVM. */
  acceleratorReason: z.string(),
  /** Software versions on the hosts, such as `criu: 4.1.1`. */
  versions: z.record(z.string(), z.string()),
  /** Why this machine cannot run any pair, such as too little memory; absent when it can. */
  cannotRun: wireErrorSchema.optional(),
});
export type LabInfo = z.infer<typeof labInfoSchema>;
