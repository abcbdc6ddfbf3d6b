/**
 * JSON text frames of a session's WebSocket, and the bodies of the gateway's HTTP API.
 * Each message that crosses a process is one schema here; its type is inferred from it.
 */
import { z } from 'zod';
import { errorCodes, LabError } from './errors';
import { hostNames } from './hosts';

/** Offered as the WebSocket's subprotocol; a change that old pages cannot read gets a new number. */
export const protocolName = 'live-migration-lab.v1';

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
});
export type Deadline = z.infer<typeof deadlineSchema>;

const terminalId = z.string().min(1).max(32);
const columns = z.number().int().min(2).max(1000);
const rows = z.number().int().min(2).max(1000);
const offset = z.number().int().nonnegative();

export const clientMessageSchema = z.discriminatedUnion('type', [
  /** Start to receive a terminal's output from byte `offset` on (or from the oldest byte still kept). */
  z.object({ type: z.literal('attach'), terminal: terminalId, offset, columns, rows }),
  z.object({ type: z.literal('resize'), terminal: terminalId, columns, rows }),
  /** All output before byte `offset` has been parsed by the client's terminal. */
  z.object({ type: z.literal('ack'), terminal: terminalId, offset }),
  /** Type the lesson's run block `block` (index within its step) into its host's terminal. Executed once for each runId. */
  z.object({
    type: z.literal('run'),
    runId: z.uuid(),
    stepId: z.string().max(100),
    block: z.number().int().nonnegative(),
  }),
  /** Run a step's check now. */
  z.object({ type: z.literal('check'), stepId: z.string().max(100) }),
  /** Go back to the state of both hosts in which this step began. What was done since then is lost. */
  z.object({ type: z.literal('rewind'), stepId: z.string().max(100) }),
  /** The learner is there: puts off the end for want of input. */
  z.object({ type: z.literal('here') }),
]);
export type ClientMessage = z.infer<typeof clientMessageSchema>;

export const terminalInfoSchema = z.object({
  id: terminalId,
  host: hostNameSchema,
  /** The number by which binary frames name this terminal. */
  channel: z.number().int().min(0).max(255),
  /**
   * Bytes that the terminal had put out when `hello` was sent. What comes before is replay: the client drops whatever
   * its terminal answers to queries in it (such as `CSI c`), because those were asked in the past.
   */
  offset: offset.optional(),
});
export type TerminalInfo = z.infer<typeof terminalInfoSchema>;

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
    result: z.enum(['typed', 'refused']),
    error: wireErrorSchema.optional(),
  }),
  /** A shell is at its prompt (idle) or a program runs in it, as its own shell integration says. */
  z.object({ type: z.literal('prompt'), terminal: terminalId, idle: z.boolean() }),
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
  /** The attached terminal's bytes before `offset` are no longer kept; output goes on from there. */
  z.object({ type: z.literal('gap'), terminal: terminalId, offset }),
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
export const closeCodes = { badMessage: 4400, sessionEnded: 4410, overloaded: 4429 } as const;

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
