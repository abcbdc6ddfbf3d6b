/** A session as messages and requests carry it: its pair, its steps, its end. */
import { z } from 'zod';
import { wireErrorSchema } from './errors';

/** What a page may do: an owner everything, a viewer only look at the terminals. */
export const roleSchema = z.enum(['owner', 'viewer']);
export type Role = z.infer<typeof roleSchema>;

export const acceleratorSchema = z.enum(['kvm', 'tcg']);
export type Accelerator = z.infer<typeof acceleratorSchema>;

/** What a learner may know of their session. Times are Unix milliseconds. */
export const sessionInfoSchema = z.object({
  id: z.string(),
  lessonId: z.string(),
  accelerator: acceleratorSchema,
  createdAtMs: z.number().int(),
  /** When the session ends whatever happens. */
  endsAtMs: z.number().int(),
  /** How often the learner may still put that off. */
  extensionsLeft: z.number().int().nonnegative(),
});
export type SessionInfo = z.infer<typeof sessionInfoSchema>;

/** Where the pair is on its way to a prompt. */
const pairPhases = [
  'cloning',
  'resuming',
  'logging-in',
  'setting-clocks',
  'ready',
  /** Going back to a saved state; the terminals stay and get their shells back. */
  'rewinding',
  'failed',
  'ended',
] as const;
export const pairPhaseSchema = z.enum(pairPhases);
export type PairPhase = z.infer<typeof pairPhaseSchema>;

export const stepStateSchema = z.object({
  state: z.enum(['open', 'passed']),
  /** What the check said last: the last line that it printed, or why it could not run. */
  message: z.string(),
  /** Unix milliseconds of the last run of the check, null before the first. */
  checkedAtMs: z.number().int().nullable(),
});
export type StepState = z.infer<typeof stepStateSchema>;

/** The state of both hosts as it was when a step was finished, kept to go back to. */
export const savedStateSchema = z.object({
  /** The step that begins from it; the lesson's first step needs none, it begins from the template. */
  stepId: z.string(),
  savedAtMs: z.number().int(),
});
export type SavedState = z.infer<typeof savedStateSchema>;

/** When the session ends, as far as is known now. */
export const deadlineSchema = z.object({
  endsAtMs: z.number().int(),
  extensionsLeft: z.number().int().nonnegative(),
  /** When it ends for want of input; null while that is far off. */
  idleEndsAtMs: z.number().int().nullable(),
  /** The page warns this long before the end; absent: 5 minutes. */
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

/** Why a session is over. */
export const endReasonSchema = z.enum([
  'by-learner',
  /** The learner asked for a fresh pair and has it. */
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
