/** HTTP requests of the gateway to a runner. Pages exchange the messages of messages.ts with it. */
import { z } from 'zod';
import { endReasonSchema, pairPhaseSchema, sessionInfoSchema } from './session';

/**
 * Handshake header of `GET /socket` with the page's {@link Role}. Only the gateway sets it, after checking the ticket. A runner
 * refuses a handshake without it.
 */
export const roleHeader = 'x-lab-role';

/**
 * Body of `PUT /session`, which assigns the sandbox to a session. Later requests change the session's deadline. A runner refuses a
 * request for another session or lesson.
 */
export const assignmentSchema = sessionInfoSchema;
export type Assignment = z.infer<typeof assignmentSchema>;

/** Answers `GET /status`, and `POST /lease`, which extends the runner's life by `leaseMs`. */
export const runnerStatusSchema = z.object({
  phase: pairPhaseSchema,
  /** The assigned lesson; null in the pool. */
  lessonId: z.string().nullable(),
  /** The assigned session; null in the pool, and for runners of earlier versions. */
  sessionId: z.string().nullable().default(null),
  /** Number of connected pages. */
  connections: z.number().int().nonnegative(),
  /** Private memory of both machines, in bytes: the cost of one more pair. */
  memoryBytes: z.number().nonnegative(),
  /** Processor time that both machines have used, in seconds. */
  cpuSeconds: z.number().nonnegative(),
  /** Milliseconds from the runner's start to prompts on both hosts; null until then. */
  readyMs: z.number().nonnegative().nullable(),
});
export type RunnerStatus = z.infer<typeof runnerStatusSchema>;

/** Path of a terminal's kept output as an asciicast. The query is that of http.ts. */
export const castPath = (terminal: string): string => `/cast?terminal=${encodeURIComponent(terminal)}`;

/** Body of `POST /stop`, which ends the sandbox. The answer comes when all its processes have ended. */
export const stopRequestSchema = z.object({ reason: endReasonSchema });
