/** The parts of a session in messages and requests: its pair, its steps, its end. */
import { z } from 'zod';
import { wireErrorSchema } from './errors';

/** What a page may do. An owner may do everything; a viewer may only watch the terminals. */
export const roleSchema = z.enum(['owner', 'viewer']);
export type Role = z.infer<typeof roleSchema>;

export const acceleratorSchema = z.enum(['kvm', 'tcg']);
export type Accelerator = z.infer<typeof acceleratorSchema>;

/** A session as its learner may see it. Times are Unix milliseconds. */
export const sessionInfoSchema = z.object({
  id: z.string(),
  lessonId: z.string(),
  accelerator: acceleratorSchema,
  createdAtMs: z.number().int(),
  /** When the session ends at the latest. */
  endsAtMs: z.number().int(),
  /** How often the learner may still postpone that end. */
  extensionsLeft: z.number().int().nonnegative(),
});
export type SessionInfo = z.infer<typeof sessionInfoSchema>;

/** The phases of a pair. The first four lead to a prompt. */
const pairPhases = [
  'cloning',
  'resuming',
  'logging-in',
  'setting-clocks',
  'ready',
  /** Returning to a saved state. The terminals stay and reconnect to their shells. */
  'rewinding',
  'failed',
  'ended',
] as const;
export const pairPhaseSchema = z.enum(pairPhases);
export type PairPhase = z.infer<typeof pairPhaseSchema>;

export const stepStateSchema = z.object({
  state: z.enum(['open', 'passed']),
  /** The last line that the check printed, or why it could not run. */
  message: z.string(),
  /** When the check last ran, in Unix milliseconds; null before its first run. */
  checkedAtMs: z.number().int().nullable(),
});
export type StepState = z.infer<typeof stepStateSchema>;

/** The state of both hosts when a step was finished, saved for a rewind. */
export const savedStateSchema = z.object({
  /** The step that begins from this state. The first step has none, because it begins from the template. */
  stepId: z.string(),
  savedAtMs: z.number().int(),
});
export type SavedState = z.infer<typeof savedStateSchema>;

/** When the session ends, as known now. */
export const deadlineSchema = z.object({
  endsAtMs: z.number().int(),
  extensionsLeft: z.number().int().nonnegative(),
  /** When it ends for lack of input; null while that is far off. */
  idleEndsAtMs: z.number().int().nullable(),
  /** How long before the end the page warns; 5 minutes if absent. */
  warningMs: z.number().int().positive().optional(),
});
export type Deadline = z.infer<typeof deadlineSchema>;

export const pairStatusSchema = z.object({
  phase: pairPhaseSchema,
  /** Milliseconds since the pair's launch began. */
  elapsedMs: z.number().int().nonnegative(),
  error: wireErrorSchema.optional(),
});
export type PairStatus = z.infer<typeof pairStatusSchema>;

/** Why a session ended. */
export const endReasonSchema = z.enum([
  'by-learner',
  /** The learner replaced the pair with a fresh one. */
  'reset',
  /** No input for too long. */
  'idle',
  /** No page was open for too long. */
  'disconnected',
  'total-time',
  'server-stopped',
  'host-lost',
]);
export type EndReason = z.infer<typeof endReasonSchema>;
