/** What the gateway says to a runner over its socket, in HTTP. Learners speak to it as messages.ts says. */
import { z } from 'zod';
import { endReasonSchema, pairPhaseSchema, sessionInfoSchema } from './session';

/**
 * Header of the handshake of `GET /socket`: what the page may do, a {@link Role}. The gateway alone writes it, after it has checked
 * who is asking; a runner refuses a handshake without it.
 */
export const roleHeader = 'x-lab-role';

/**
 * `PUT /session`: whose the pair is from now on. The first one assigns it; later ones for the same lesson change its deadline.
 * A runner refuses one for another lesson.
 */
export const assignmentSchema = sessionInfoSchema;
export type Assignment = z.infer<typeof assignmentSchema>;

/** `GET /status`, and the answer to `POST /lease`, which lets the runner go on for another while. */
export const runnerStatusSchema = z.object({
  phase: pairPhaseSchema,
  /** The lesson that it was assigned to; null in the pool. */
  lessonId: z.string().nullable(),
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

/** `GET /cast?terminal=…`, with the query of messages.ts: what is kept of a terminal's output, as an asciicast. */
export const castPath = (terminal: string): string => `/cast?terminal=${encodeURIComponent(terminal)}`;

/** `POST /stop`: ends the sandbox; answers when nothing runs any more. */
export const stopRequestSchema = z.object({ reason: endReasonSchema });
