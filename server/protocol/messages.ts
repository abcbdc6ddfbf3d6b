/** JSON text frames of a session's WebSocket. Each message is one schema here; its type is inferred from it. */
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

/** Offered as the WebSocket's subprotocol; a change that old pages cannot read gets a new number. */
export const protocolName = 'live-migration-lab.v3';

const columns = z.number().int().min(2).max(1000);
const rows = z.number().int().min(2).max(1000);
const offset = z.number().int().nonnegative();

export const clientMessageSchema = z.discriminatedUnion('type', [
  /**
   * Show a terminal. The answer is `attached`. Attaching again replaces the attachment before.
   */
  z.object({
    type: z.literal('attach'),
    terminal: terminalIdSchema,
    /** The page has all output before this byte and wants what follows; null when it has nothing. */
    from: offset.nullable(),
    /** How much of the terminal fits into the page. */
    columns,
    rows,
    /** Chosen by the page once, when it is loaded: whose input is counted by the offsets of input frames. */
    clientId: z.uuid(),
  }),
  /** Show it no longer. */
  z.object({ type: z.literal('detach'), terminal: terminalIdSchema }),
  /** How much of the terminal fits into the page now. It is the terminal's size while this page is its active one. */
  z.object({ type: z.literal('viewport'), terminal: terminalIdSchema, columns, rows }),
  /** The learner uses the terminal on this page from now on (focus); input does the same. */
  z.object({ type: z.literal('activate'), terminal: terminalIdSchema }),
  /** All output before byte `offset` has been parsed by the page's terminal. */
  z.object({ type: z.literal('ack'), terminal: terminalIdSchema, offset }),
  z.object({ type: z.literal('open-terminal'), host: hostNameSchema, requestId: z.uuid() }),
  /** Ends its shell and what runs in it. The first terminal of a host cannot be closed. */
  z.object({ type: z.literal('close-terminal'), terminal: terminalIdSchema }),
  z.object({ type: z.literal('rename-terminal'), terminal: terminalIdSchema, name: terminalNameSchema }),
  /** Type the lesson's run block `block` (index within its step) into a terminal of its host. Executed once for each runId. */
  z.object({
    type: z.literal('run'),
    runId: runIdSchema,
    stepId: z.string().max(100),
    block: z.number().int().nonnegative(),
    terminal: terminalIdSchema,
    /**
     * What to do when the terminal is not at an empty prompt: nothing, and say so; end what runs there with Ctrl-C first;
     * or cut the half-typed line first.
     */
    whenBusy: z.enum(['refuse', 'interrupt', 'cut-line']),
  }),
  /** Run a step's check now. */
  z.object({ type: z.literal('check'), stepId: z.string().max(100) }),
  /** Go back to the state of both hosts in which this step began. What was done since then is lost. */
  z.object({ type: z.literal('rewind'), stepId: z.string().max(100) }),
  /** The learner is there: puts off the end for want of input. */
  z.object({ type: z.literal('here') }),
  /** Answered with `pong`: a page that hears nothing for long knows by it whether the line is still there. */
  z.object({ type: z.literal('ping') }),
]);
export type ClientMessage = z.infer<typeof clientMessageSchema>;

export const serverMessageSchema = z.discriminatedUnion('type', [
  /** First message on each connection: everything that a freshly loaded page needs. */
  z.object({
    type: z.literal('hello'),
    session: sessionInfoSchema,
    /** The sandbox that the session has now. With another one, nothing that a page knew of hosts and terminals holds. */
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
  /** Lesson values (such as a container's address) as they become known. */
  z.object({ type: z.literal('values'), values: z.record(z.string(), z.string()) }),
  /** A command of the lesson was typed, began or ended. Told to every page; it also answers a `run` that is sent again. */
  z.object({ type: z.literal('run'), run: runReportSchema }),
  /** Answers a `run` whose command was not typed, to the page that asked. */
  z.object({
    type: z.literal('run-refused'),
    runId: runIdSchema,
    stepId: z.string(),
    block: z.number().int().nonnegative(),
    terminal: terminalIdSchema,
    error: wireErrorSchema,
    /** What stood in the way, when the learner may say how to go on. */
    busy: busySchema.optional(),
  }),
  /** All terminals, after one was opened, closed or renamed. */
  z.object({
    type: z.literal('terminals'),
    terminals: z.array(terminalInfoSchema),
    /** The `open-terminal` that this answers, for the page that asked. */
    requestId: z.uuid().optional(),
  }),
  /**
   * Answers `attach`. What follows of this terminal, in this order: `screen` and its frames if `screen` is true; then output
   * from byte `offset` on, and each `size` and `mark` at its place between the bytes.
   */
  z.object({
    type: z.literal('attached'),
    terminal: terminalIdSchema,
    offset,
    /** The page had nothing, or bytes that it misses are no longer kept: it is given the screen instead. */
    screen: z.boolean(),
    /**
     * Output before this byte was put out before the page attached: its terminal does not answer queries in there. Absent: `offset`,
     * so that only a screen's are not answered.
     */
    end: offset.optional(),
    /** Bytes typed by this page (its `clientId`) that the terminal has taken. */
    inputOffset: offset,
    columns,
    rows,
  }),
  /**
   * The terminal's screen and scrollback as they were at byte `offset` of its output, as escape sequences for an empty terminal
   * of this size. `bytes` bytes follow in screen frames.
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
  /** The terminal has this size from here on. `active`: this page decides it. */
  z.object({ type: z.literal('size'), terminal: terminalIdSchema, columns, rows, active: z.boolean() }),
  /** All output before byte `offset` was before this mark. */
  z.object({ type: z.literal('mark'), terminal: terminalIdSchema, offset, mark: shellMarkSchema }),
  /** Bytes before `offset` of this page's input have been given to the terminal. */
  z.object({ type: z.literal('input-ack'), terminal: terminalIdSchema, offset }),
  z.object({ type: z.literal('pong') }),
  /** A shell is at its prompt (idle) or a program runs in it, as its own shell integration says. */
  z.object({ type: z.literal('prompt'), terminal: terminalIdSchema, idle: z.boolean() }),
  z.object({ type: z.literal('deadline'), deadline: deadlineSchema }),
  /** The states that can be gone back to, all of them; one that is gone was dropped to keep within the session's limit. */
  z.object({ type: z.literal('saves'), saves: z.array(savedStateSchema) }),
  /** Both hosts are as they were when this step began; what a page knew of steps, values and commands is replaced by this. */
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

/** WebSocket close codes of our own (4000-4999 is the range left to applications by RFC 6455, 7.4.2). */
export const closeCodes = {
  badMessage: 4400,
  /** The grant was taken back, or a viewer tried what only the owner may. */
  forbidden: 4403,
  sessionEnded: 4410,
  /** More frames or bytes than any person and page would send, or the page does not take what it asked for. */
  overloaded: 4429,
} as const;

/** @throws LabError `bad-message` naming the field, when the text is no such message. */
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
