/** What the gateway says to a runner over its socket, in HTTP. Pages speak to a runner as messages.ts says. */
import { z } from 'zod';
import { endReasonSchema, pairPhaseSchema, sessionInfoSchema } from './session';

/**
 * Header of the handshake of `GET /socket`: what the page may do, a {@link Role}. The gateway alone writes it, after it has checked
 * who is asking; a runner refuses a handshake without it.
 */
export const roleHeader = 'x-lab-role';

/**
 * `PUT /session`: which session the sandbox belongs to from now on. The first request assigns it; later ones change the session's
 * deadline. A runner refuses a request for another session or lesson.
 */
export const assignmentSchema = sessionInfoSchema;
export type Assignment = z.infer<typeof assignmentSchema>;

/** `GET /status`, and the answer to `POST /lease`, which lets the runner go on for another `leaseMs`. */
export const runnerStatusSchema = z.object({
  phase: pairPhaseSchema,
  /** The lesson that it was assigned to; null in the pool. */
  lessonId: z.string().nullable(),
  /** The session that it was assigned to; null in the pool, and from runners of earlier versions. */
  sessionId: z.string().nullable().default(null),
  /** Pages that are connected. */
  connections: z.number().int().nonnegative(),
  /** Private memory of both machines, in bytes; what one more pair costs. */
  memoryBytes: z.number().nonnegative(),
  /** Processor time that both machines have used, in seconds. */
  cpuSeconds: z.number().nonnegative(),
  /** Milliseconds from the runner's start to prompts on both hosts; null until then. */
  readyMs: z.number().nonnegative().nullable(),
});
export type RunnerStatus = z.infer<typeof runnerStatusSchema>;

/** `GET /cast?terminal=…`, with the query of http.ts: the output that is kept of a terminal, as an asciicast. */
export const castPath = (terminal: string): string => `/cast?terminal=${encodeURIComponent(terminal)}`;

/** `POST /stop`: ends the sandbox; answers when nothing runs any more. */
export const stopRequestSchema = z.object({ reason: endReasonSchema });
