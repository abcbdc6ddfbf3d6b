/** JSON text frames of a session's WebSocket. Each message is one schema here, and its type is inferred from the schema. */
import { z } from 'zod';
import { LabError, wireErrorSchema } from './errors';
import { hostNameSchema } from './hosts';
import {
  deadlineSchema,
  endReasonSchema,
  pairStatusSchema,
  roleSchema,
  savedStateSchema,
  sessionInfoSchema,
  stepStateSchema,
} from './session';
import {
  busySchema,
  runIdSchema,
  runReportSchema,
  shellMarkSchema,
  shownCommandSchema,
  terminalIdSchema,
  terminalInfoSchema,
  terminalNameSchema,
} from './terminal';

/** The WebSocket's subprotocol. A change that old pages cannot read gets a new number. */
export const protocolName = 'live-migration-lab.v3';

const columns = z.number().int().min(2).max(1000);
const rows = z.number().int().min(2).max(1000);
const offset = z.number().int().nonnegative();

export const clientMessageSchema = z.discriminatedUnion('type', [
  /** Attach to a terminal. The answer is `attached`. A new attachment replaces the previous one. */
  z.object({
    type: z.literal('attach'),
    terminal: terminalIdSchema,
    /** The page has all output before this byte and wants the rest; null when it has nothing. */
    from: offset.nullable(),
    /** The terminal size that fits on the page. */
    columns,
    rows,
    /** Each page load chooses one. The offsets of input frames count this client's bytes. */
    clientId: z.uuid(),
  }),
  /** End the attachment. */
  z.object({ type: z.literal('detach'), terminal: terminalIdSchema }),
  /** A new size that fits on the page. The terminal has this size while this page is its active one. */
  z.object({ type: z.literal('viewport'), terminal: terminalIdSchema, columns, rows }),
  /** Makes this page the terminal's active one, because the learner focused the terminal here. Input does the same. */
  z.object({ type: z.literal('activate'), terminal: terminalIdSchema }),
  /** The page's terminal has parsed all output before byte `offset`. */
  z.object({ type: z.literal('ack'), terminal: terminalIdSchema, offset }),
  z.object({ type: z.literal('open-terminal'), host: hostNameSchema, requestId: z.uuid() }),
  /** Ends its shell and the programs in it. The first terminal of a host cannot be closed. */
  z.object({ type: z.literal('close-terminal'), terminal: terminalIdSchema }),
  z.object({ type: z.literal('rename-terminal'), terminal: terminalIdSchema, name: terminalNameSchema }),
  /** Type the lesson's run block `block` (index within its step) into a terminal of its host, once for each runId. */
  z.object({
    type: z.literal('run'),
    runId: runIdSchema,
    stepId: z.string().max(100),
    block: z.number().int().nonnegative(),
    terminal: terminalIdSchema,
    /**
     * What to do when the terminal is not at an empty prompt: refuse the run, press Ctrl-C first, or cut the half-typed line
     * first.
     */
    whenBusy: z.enum(['refuse', 'interrupt', 'cut-line']),
  }),
  /** Run a step's check now. */
  z.object({ type: z.literal('check'), stepId: z.string().max(100) }),
  /** Return both hosts to their state at the start of this step. Later work is lost. */
  z.object({ type: z.literal('rewind'), stepId: z.string().max(100) }),
  /** The learner is at the page without typing: restarts the idle timeout. */
  z.object({ type: z.literal('here') }),
  /** The answer is `pong`. A page that has received nothing for a while uses it to test the connection. */
  z.object({ type: z.literal('ping') }),
]);
export type ClientMessage = z.infer<typeof clientMessageSchema>;

export const serverMessageSchema = z.discriminatedUnion('type', [
  /** First message of each connection, with everything that a freshly loaded page needs. */
  z.object({
    type: z.literal('hello'),
    session: sessionInfoSchema,
    /** The session's current sandbox. When it changes, the page's knowledge of hosts and terminals is void. */
    sandboxId: z.string(),
    role: roleSchema,
    pair: pairStatusSchema,
    terminals: z.array(terminalInfoSchema),
    steps: z.record(z.string(), stepStateSchema),
    values: z.record(z.string(), z.string()),
    runs: z.array(runReportSchema),
    deadline: deadlineSchema,
    saves: z.array(savedStateSchema),
  }),
  z.object({ type: z.literal('pair'), pair: pairStatusSchema }),
  z.object({ type: z.literal('step'), stepId: z.string(), step: stepStateSchema }),
  /** Newly known lesson values, such as a container's address. */
  z.object({ type: z.literal('values'), values: z.record(z.string(), z.string()) }),
  /** A command of the lesson was typed, began or ended. Every page receives it. It also answers a repeated `run`. */
  z.object({ type: z.literal('run'), run: runReportSchema }),
  /** Answers a `run` whose command was not typed. Only the requesting page receives it. */
  z.object({
    type: z.literal('run-refused'),
    runId: runIdSchema,
    stepId: z.string(),
    block: z.number().int().nonnegative(),
    terminal: terminalIdSchema,
    error: wireErrorSchema,
    /** Why the terminal was busy, if the learner may choose what to do. */
    busy: busySchema.optional(),
  }),
  /** All terminals, after one was opened, closed or renamed. */
  z.object({
    type: z.literal('terminals'),
    terminals: z.array(terminalInfoSchema),
    /** The `open-terminal` that this answers. Only for the requesting page. */
    requestId: z.uuid().optional(),
  }),
  /**
   * Answers `attach`. If `screen` is true, a `screen` message and its frames follow. Then comes the output from byte `offset` on,
   * with each `size` and `mark` at its position between the bytes.
   */
  z.object({
    type: z.literal('attached'),
    terminal: terminalIdSchema,
    offset,
    /** The page had nothing, or the runner no longer keeps the missing bytes. So it sends the screen instead. */
    screen: z.boolean(),
    /**
     * Output before this byte is older than the attachment, so the page's terminal does not answer queries in it. Absent: `offset`,
     * and then only queries in a screen stay unanswered.
     */
    end: offset.optional(),
    /** How many bytes from this `clientId` the terminal has received. */
    inputOffset: offset,
    columns,
    rows,
  }),
  /**
   * The terminal's screen and scrollback at byte `offset` of its output, as escape sequences for an empty terminal of this size.
   * `bytes` bytes follow in screen frames.
   */
  z.object({
    type: z.literal('screen'),
    terminal: terminalIdSchema,
    offset,
    columns,
    rows,
    bytes: z.number().int().nonnegative(),
    commands: z.array(shownCommandSchema),
  }),
  /** The terminal's size from here on. `active`: this page decides the size. */
  z.object({ type: z.literal('size'), terminal: terminalIdSchema, columns, rows, active: z.boolean() }),
  /** A shell's mark between the output before byte `offset` and the output from it on. */
  z.object({ type: z.literal('mark'), terminal: terminalIdSchema, offset, mark: shellMarkSchema }),
  /** The terminal has received this page's input before byte `offset`. */
  z.object({ type: z.literal('input-ack'), terminal: terminalIdSchema, offset }),
  z.object({ type: z.literal('pong') }),
  /** Whether a shell is at its prompt (idle) or runs a program, by its shell integration. */
  z.object({ type: z.literal('prompt'), terminal: terminalIdSchema, idle: z.boolean() }),
  z.object({ type: z.literal('deadline'), deadline: deadlineSchema }),
  /** All saved states. A missing one was deleted to stay within the session's limit. */
  z.object({ type: z.literal('saves'), saves: z.array(savedStateSchema) }),
  /** Both hosts are back at the start of this step. The message replaces the page's steps, values and runs. */
  z.object({
    type: z.literal('rewound'),
    stepId: z.string(),
    steps: z.record(z.string(), stepStateSchema),
    values: z.record(z.string(), z.string()),
    runs: z.array(runReportSchema),
  }),
  z.object({ type: z.literal('ended'), reason: endReasonSchema }),
  z.object({ type: z.literal('error'), error: wireErrorSchema }),
]);
export type ServerMessage = z.infer<typeof serverMessageSchema>;

/** Our own WebSocket close codes. RFC 6455, 7.4.2, leaves 4000-4999 to applications. */
export const closeCodes = {
  badMessage: 4400,
  /** The grant was revoked, or a viewer sent what only the owner may send. */
  forbidden: 4403,
  sessionEnded: 4410,
  /** The page sent more frames or bytes than a person would, or does not read what it requested. */
  overloaded: 4429,
} as const;

/** @throws LabError `bad-message`, naming the field, when the text is not such a message */
export function parseMessage<T>(schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LabError('bad-message', 'A text frame is not JSON.', { cause });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new LabError('bad-message', `A message is not valid: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}
