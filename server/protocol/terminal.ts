/** Terminals as messages carry them: what they are, what their shells say, which commands of the lesson were typed into them. */
import { z } from 'zod';
import { hostNameSchema } from './hosts';

export const terminalIdSchema = z.string().regex(/^[a-z0-9-]{1,32}$/);
export const terminalNameSchema = z.string().trim().min(1).max(40);

/** What stands in the way of typing a command into a terminal. */
export const busySchema = z.enum([
  /** A program runs in it. */
  'program',
  /** A program runs in it that has taken the whole screen, such as vim. */
  'full-screen',
  /** The shell waits, and something has been typed behind its prompt. */
  'half-typed',
]);
export type Busy = z.infer<typeof busySchema>;

export const terminalInfoSchema = z.object({
  id: terminalIdSchema,
  host: hostNameSchema,
  /** The number by which binary frames name this terminal. Not used again in this session after the terminal was closed. */
  channel: z.number().int().min(0).max(255),
  /** For the learner: what stands on its tab. */
  name: terminalNameSchema,
});
export type TerminalInfo = z.infer<typeof terminalInfoSchema>;

export const runIdSchema = z.uuid();

/** What a shell said of a command, by its OSC 133 marks. The guest can forge it: it decorates and triggers, and proves nothing. */
export const shellMarkSchema = z.discriminatedUnion('kind', [
  /** The prompt is complete: what is typed from here on is a command. */
  z.object({ kind: z.literal('prompt') }),
  /** A command was entered, its output begins. `command` counts the terminal's commands from 1. */
  z.object({
    kind: z.literal('start'),
    command: z.number().int().positive(),
    /** The `run` that typed it; absent for a command that the learner typed. */
    runId: runIdSchema.optional(),
    atMs: z.number().int(),
  }),
  z.object({
    kind: z.literal('end'),
    command: z.number().int().positive(),
    runId: runIdSchema.optional(),
    exitCode: z.number().int().min(0).max(255).nullable(),
    /** By the runner's clock, between both marks. */
    durationMs: z.number().int().nonnegative(),
  }),
]);
export type ShellMark = z.infer<typeof shellMarkSchema>;

/** A command on a repainted screen. Lines count from the first line of the repainted scrollback, from 0. */
export const shownCommandSchema = z.object({
  command: z.number().int().positive(),
  /** Where its prompt stands. */
  promptLine: z.number().int().nonnegative(),
  /** Where its output begins; null when the command was not entered yet. */
  outputLine: z.number().int().nonnegative().nullable(),
  /** Line after its output; null while it runs. */
  endLine: z.number().int().nonnegative().nullable(),
  exitCode: z.number().int().min(0).max(255).nullable(),
  durationMs: z.number().int().nonnegative().nullable(),
});
export type ShownCommand = z.infer<typeof shownCommandSchema>;

/** What became of a command of the lesson after it was typed. */
const runStateSchema = z.discriminatedUnion('state', [
  /** Its shell has not said that it began; one without shell integration never does. */
  z.object({ state: z.literal('typed') }),
  /** `elapsedMs`: how long it had been running when this was sent. */
  z.object({ state: z.literal('running'), elapsedMs: z.number().int().nonnegative() }),
  /** Both null when its shell ended before it said how the command did. */
  z.object({
    state: z.literal('done'),
    exitCode: z.number().int().min(0).max(255).nullable(),
    durationMs: z.number().int().nonnegative().nullable(),
  }),
]);

/** The newest run of one of the lesson's run blocks that was typed. */
export const runReportSchema = z.object({
  runId: runIdSchema,
  stepId: z.string(),
  /** Index of the run block within its step. */
  block: z.number().int().nonnegative(),
  terminal: terminalIdSchema,
  command: runStateSchema,
});
export type RunState = z.infer<typeof runStateSchema>;
export type RunReport = z.infer<typeof runReportSchema>;
