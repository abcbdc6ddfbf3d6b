/** The parts of a terminal in messages: its name and host, its shell's marks, and the lesson's commands that were typed into it. */
import { z } from 'zod';
import { hostNameSchema } from './hosts';

export const terminalIdSchema = z.string().regex(/^[a-z0-9-]{1,32}$/);
export const terminalNameSchema = z.string().trim().min(1).max(40);

/** Why a command cannot be typed into a terminal. */
export const busySchema = z.enum([
  /** A program runs in it. */
  'program',
  /** A full-screen program such as vim runs in it. */
  'full-screen',
  /** The shell waits, and there is text after its prompt. */
  'half-typed',
]);
export type Busy = z.infer<typeof busySchema>;

export const terminalInfoSchema = z.object({
  id: terminalIdSchema,
  host: hostNameSchema,
  /** This terminal's number in binary frames. The session does not reuse it after the terminal is closed. */
  channel: z.number().int().min(0).max(255),
  /** The text on its tab. */
  name: terminalNameSchema,
});
export type TerminalInfo = z.infer<typeof terminalInfoSchema>;

export const runIdSchema = z.uuid();

/** A shell's OSC 133 mark about a command. The guest can forge marks, so they decorate and trigger but prove nothing. */
export const shellMarkSchema = z.discriminatedUnion('kind', [
  /** The prompt is complete; a command follows. */
  z.object({ kind: z.literal('prompt') }),
  /** A command was entered, and its output begins. `command` counts the terminal's commands from 1. */
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
    /** Time between both marks by the runner's clock. */
    durationMs: z.number().int().nonnegative(),
  }),
]);
export type ShellMark = z.infer<typeof shellMarkSchema>;

/** A command on a repainted screen. Line 0 is the first line of the repainted scrollback. */
export const shownCommandSchema = z.object({
  command: z.number().int().positive(),
  /** Line of its prompt. */
  promptLine: z.number().int().nonnegative(),
  /** First line of its output; null before the command was entered. */
  outputLine: z.number().int().nonnegative().nullable(),
  /** Line after its output; null while the command runs. */
  endLine: z.number().int().nonnegative().nullable(),
  exitCode: z.number().int().min(0).max(255).nullable(),
  durationMs: z.number().int().nonnegative().nullable(),
});
export type ShownCommand = z.infer<typeof shownCommandSchema>;

/** The state of a lesson's command after it was typed. */
const runStateSchema = z.discriminatedUnion('state', [
  /** The shell has not marked its start. A shell without shell integration never does. */
  z.object({ state: z.literal('typed') }),
  /** `elapsedMs`: how long it had run when this was sent. */
  z.object({ state: z.literal('running'), elapsedMs: z.number().int().nonnegative() }),
  /** Both are null when the shell ended before it reported the outcome. */
  z.object({
    state: z.literal('done'),
    exitCode: z.number().int().min(0).max(255).nullable(),
    durationMs: z.number().int().nonnegative().nullable(),
  }),
]);

/** The newest run of a run block whose command was typed. */
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
