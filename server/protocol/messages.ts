/**
 * JSON text frames of a session's WebSocket, and the bodies of the gateway's HTTP API.
 * Each message that crosses a process is one schema here; its type is inferred from it.
 */
import { z } from 'zod';
import { errorCodes, LabError } from './errors';
import { hostNames } from './hosts';

/** Offered as the WebSocket's subprotocol; a change that old pages cannot read gets a new number. */
export const protocolName = 'live-migration-lab.v2';

export const hostNameSchema = z.enum(hostNames);
export const wireErrorSchema = z.object({
  code: z.enum(errorCodes),
  message: z.string(),
  hint: z.string().optional(),
});

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
export const pairPhases = [
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

export const terminalIdSchema = z.string().regex(/^[a-z0-9-]{1,32}$/);
const columns = z.number().int().min(2).max(1000);
const rows = z.number().int().min(2).max(1000);
const offset = z.number().int().nonnegative();
const terminalName = z.string().trim().min(1).max(40);

/** What a page may do: an owner everything, a viewer only look at the terminals. */
export const roleSchema = z.enum(['owner', 'viewer']);
export type Role = z.infer<typeof roleSchema>;

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
    writer: z.uuid(),
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
  z.object({ type: z.literal('rename-terminal'), terminal: terminalIdSchema, name: terminalName }),
  /** Type the lesson's run block `block` (index within its step) into a terminal of its host. Executed once for each runId. */
  z.object({
    type: z.literal('run'),
    runId: z.uuid(),
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

export const terminalInfoSchema = z.object({
  id: terminalIdSchema,
  host: hostNameSchema,
  /** The number by which binary frames name this terminal. Not used again in this session after the terminal was closed. */
  channel: z.number().int().min(0).max(255),
  /** For the learner: what stands on its tab. */
  name: terminalName,
});
export type TerminalInfo = z.infer<typeof terminalInfoSchema>;

/** What a shell said of a command, by its OSC 133 marks. The guest can forge it: it decorates and triggers, and proves nothing. */
export const shellMarkSchema = z.discriminatedUnion('kind', [
  /** The prompt is complete: what is typed from here on is a command. */
  z.object({ kind: z.literal('prompt') }),
  /** A command was entered, its output begins. `command` counts the terminal's commands from 1. */
  z.object({ kind: z.literal('start'), command: z.number().int().positive(), atMs: z.number().int() }),
  z.object({
    kind: z.literal('end'),
    command: z.number().int().positive(),
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

export const serverMessageSchema = z.discriminatedUnion('type', [
  /** First message on each connection: everything that a freshly loaded page needs. */
  z.object({
    type: z.literal('hello'),
    session: sessionInfoSchema,
    role: roleSchema,
    pair: pairStatusSchema,
    terminals: z.array(terminalInfoSchema),
    steps: z.record(z.string(), stepStateSchema),
    values: z.record(z.string(), z.string()),
    /** Keys `stepId/block` of the run blocks that were typed at least once. */
    ran: z.array(z.string()),
    deadline: deadlineSchema,
    saves: z.array(savedStateSchema),
  }),
  z.object({ type: z.literal('pair'), pair: pairStatusSchema }),
  z.object({ type: z.literal('step'), stepId: z.string(), step: stepStateSchema }),
  /** Lesson values (such as a container's address) as they become known. */
  z.object({ type: z.literal('values'), values: z.record(z.string(), z.string()) }),
  /** What became of a `run` message: typed into the terminal, or refused and nothing was typed. */
  z.object({
    type: z.literal('run'),
    runId: z.uuid(),
    stepId: z.string(),
    block: z.number().int().nonnegative(),
    terminal: terminalIdSchema,
    result: z.enum(['typed', 'refused']),
    error: wireErrorSchema.optional(),
    /** With `refused`: what stood in the way, when the learner may say how to go on. */
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
    /** Bytes typed by this page (its `writer`) that the terminal has taken. */
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
    ran: z.array(z.string()),
  }),
  z.object({ type: z.literal('ended'), reason: endReasonSchema }),
  z.object({ type: z.literal('error'), error: wireErrorSchema }),
]);
export type ServerMessage = z.infer<typeof serverMessageSchema>;

/** A learner's place in the queue for a pair. Asking `GET /api/session` keeps it; who does not ask for a minute loses it. */
export const queuePlaceSchema = z.object({
  lessonId: z.string(),
  /** 1 is next. */
  place: z.number().int().positive(),
  /** Milliseconds until a pair is free, estimated from the sessions that run; null when nothing is known yet. */
  estimateMs: z.number().int().nonnegative().nullable(),
});
export type QueuePlace = z.infer<typeof queuePlaceSchema>;

/**
 * `GET /api/session`, `POST /api/session` (a pair for a lesson, or a place in the queue), `POST /api/session/reset` (a fresh
 * pair for the same lesson, the old one ends) and `POST /api/session/extend` (a later end).
 */
export const sessionReplySchema = z.object({
  session: sessionInfoSchema.nullable(),
  /** Never beside a session. */
  queue: queuePlaceSchema.nullable(),
});
export type SessionReply = z.infer<typeof sessionReplySchema>;
/** `POST /api/session`: which lesson the pair is for. */
export const sessionRequestSchema = z.object({ lessonId: z.string().min(1).max(100) });
/** `POST /api/session/ticket`: opens one WebSocket within 30 s as `/api/session/socket?ticket=…`. */
export const ticketReplySchema = z.object({ ticket: z.string() });
/** `POST /api/watch/:grant/ticket` answers as {@link ticketReplySchema}: whoever has the grant may look at the session's terminals. */
/**
 * `POST /api/session/grant`: a link by which others may look at the terminals and nothing else, until the session ends or the
 * learner takes it back (`DELETE /api/session/grant`). Asking again gives the same one.
 */
export const grantReplySchema = z.object({ grant: z.string() });
/**
 * `POST /api/session/handover`: a key by which the session can be gone on with in another browser, once, within 10 minutes; a
 * further one makes the one before worthless.
 */
export const handoverReplySchema = z.object({ handover: z.string() });
/**
 * `POST /api/handover/:key` gives the browser that asks the session, and answers which lesson it is of. A browser with a session
 * of its own is refused with `session-exists`, and the key stays good.
 */
export const handoverTakenSchema = z.object({ lessonId: z.string() });
/**
 * `GET /api/session/cast?terminal=…`: what is kept of a terminal's output, as an asciicast (version 2) to be saved. For the
 * session's owner alone.
 */
export const castQuerySchema = z.object({ terminal: terminalIdSchema });
/** Body of each failed HTTP request. */
export const errorReplySchema = z.object({ error: wireErrorSchema });
/** `GET /api/lab`: what this server runs sandbox hosts with, shown on every page. */
export const labInfoSchema = z.object({
  accelerator: acceleratorSchema,
  /** Why KVM is not used; empty with KVM. */
  acceleratorReason: z.string(),
  /** Versions inside of the hosts, such as `criu: 4.1.1`. */
  versions: z.record(z.string(), z.string()),
  /** Why this machine cannot run any pair, such as too little memory; absent when it can. */
  cannotRun: wireErrorSchema.optional(),
});
export type LabInfo = z.infer<typeof labInfoSchema>;

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
