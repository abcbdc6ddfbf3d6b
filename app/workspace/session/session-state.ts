/**
 * What the page knows of the learner's session, as one immutable value, and how each event changes it. Pure: no network, no
 * timers, no framework. Each phase has only the fields that make sense in it.
 */
import type { ConnectionState } from '../../../server/client/connection';
import type { WireError } from '../../../server/protocol/errors';
import type { LabInfo, QueuePosition, SessionReply } from '../../../server/protocol/http';
import type { ServerMessage } from '../../../server/protocol/messages';
import type {
  Deadline,
  EndReason,
  PairPhase,
  PairStatus,
  Role,
  SavedState,
  SessionInfo,
  StepState,
} from '../../../server/protocol/session';
import type { Busy, ShellMark, ShownCommand, TerminalInfo } from '../../../server/protocol/terminal';
import { firstLayout, settleLayout, type Layout } from '../panes/layout';
import {
  blockKey,
  refuseSent,
  reportedRuns,
  settleRuns,
  typedRun,
  typedRuns,
  type CommandState,
  type RefusedRun,
  type Runs,
  type SettledRun,
} from './run-state';

/** A terminal's last command; `command` counts its commands from 1. */
export type LastCommand = CommandState & { command: number };

/** A command that was not typed because something stands in its way, until the learner says what to do. */
export interface BusyQuestion {
  stepId: string;
  block: number;
  terminal: string;
  busy: Busy;
}

/** Input into one terminal that was not delivered; the learner sees it once. */
export type UndeliveredInput =
  /** This many keys were typed before a break and never arrived. */
  | { kind: 'lost'; keys: number }
  /** A paste is longer than what may wait. */
  | { kind: 'too-much' };

/** A rewind to the start of a step: requested, under way, or refused. */
export type RewindState =
  { stepId: string; state: 'sent' | 'going' } | { stepId: string; state: 'refused'; problem: WireError };

/** The page's connection to its session. Times are Unix milliseconds of this computer. */
export type Line =
  | { state: 'connecting' | 'closed'; brokenSinceMs: number }
  /** `silentSinceMs`: since when nothing was heard of it; null while it answers. */
  | { state: 'open'; silentSinceMs: number | null };

/** Phases of a pair that runs or is about to. */
export type LivePairPhase = Exclude<PairPhase, 'failed' | 'ended'>;

export interface Pair {
  phase: LivePairPhase;
  /** Milliseconds since the pair's launch, as the server said at `atMs`. */
  elapsedMs: number;
  /** Unix milliseconds of this computer. */
  atMs: number;
}

/** Fields of every phase. */
interface Shared {
  lab: LabInfo | null;
  role: Role;
  layout: Layout;
  /** The last failure that no other part of the page shows. */
  problem: WireError | null;
  /** For screen readers: the last thing that happened by itself. */
  announcement: string;
}

/** Without hosts a click on Run can only be refused. */
interface WithoutHosts {
  runs: Runs<RefusedRun>;
}

/** The page asks the server what this browser has. */
interface Loading extends WithoutHosts {
  phase: 'loading';
}

interface None extends WithoutHosts {
  phase: 'none';
  /** The session that this browser has for another lesson, which stands in the way of one for this. */
  otherSession: SessionInfo | null;
}

interface Requesting extends WithoutHosts {
  phase: 'requesting';
  otherSession: SessionInfo | null;
  /** Who asked for the hosts: this page, or another one of this browser, whose hosts this page then looks for. */
  requestedBy: 'this-page' | 'other-page';
  sinceMs: number;
}

interface Queued extends WithoutHosts {
  phase: 'queued';
  /** The position in the queue, for this lesson or another one. */
  queue: QueuePosition;
}

/** There is a session, and the page connects to it for the first time. */
interface Joining extends WithoutHosts {
  phase: 'joining';
  /** Null for a viewer, who learns of it by the hello. */
  session: SessionInfo | null;
  line: Line;
  sinceMs: number;
  /** The pair came out of the queue by itself, and the learner may not have seen it yet. */
  turnUnseen: boolean;
}

/** What was achieved in the lesson; it stays on the page when the hosts are gone. */
interface Progress {
  steps: Readonly<Record<string, StepState>>;
  values: Readonly<Record<string, string>>;
}

interface Terminals {
  terminals: readonly TerminalInfo[];
  /** By terminal: whether its shell is at its prompt; absent until it says so. */
  atPrompt: Readonly<Record<string, boolean>>;
  /** By terminal: its last command, as far as this page saw it. */
  lastCommand: Readonly<Record<string, LastCommand>>;
  /** By terminal. */
  undelivered: Readonly<Record<string, UndeliveredInput>>;
  /** By request: the terminal that was opened for it. */
  opened: Readonly<Record<string, string>>;
}

/** The server's hello has come. */
interface Joined extends Progress, Terminals {
  session: SessionInfo;
  sandboxId: string;
  line: Line;
}

interface Active extends Joined {
  phase: 'active';
  pair: Pair;
  turnUnseen: boolean;
  deadline: Deadline;
  /** The learner asked for more time, and the server has not answered. */
  extending: boolean;
  /** The saved states to which the learner can go back. */
  saves: readonly SavedState[];
  rewind: RewindState | null;
  /** Steps whose check was requested and has not answered yet. */
  checking: readonly string[];
  runs: Runs;
  question: BusyQuestion | null;
  /** The grant by which viewers see the terminals; null when there is none, undefined while that is not known. */
  grant: string | null | undefined;
}

/** The pair could not be started, or was lost. The session is there until the learner gives it up. */
interface Failed extends Joined {
  phase: 'failed';
  failure: WireError;
  runs: Runs<SettledRun>;
}

interface Ended extends Progress {
  phase: 'ended';
  /** Null when the server knows of no session any more. */
  reason: EndReason | null;
  runs: Runs<SettledRun>;
}

type PhaseState = Loading | None | Requesting | Queued | Joining | Active | Failed | Ended;
type SessionPhase = PhaseState['phase'];
export type SessionState = Shared & PhaseState;
export type StateIn<P extends SessionPhase> = Shared & Extract<PhaseState, { phase: P }>;

/** Times are Unix milliseconds of this computer. */
export type SessionEvent =
  // From the server's socket.
  | { type: 'message'; message: ServerMessage; atMs: number }
  | { type: 'line'; state: ConnectionState; atMs: number }
  | { type: 'line-silent'; sinceMs: number | null }
  /** The connection gave up. */
  | { type: 'line-failed'; problem: WireError }
  // Answers to HTTP requests.
  | { type: 'lab'; lab: LabInfo }
  /** What this browser has; `lessonId` is this page's lesson. */
  | { type: 'reply'; reply: SessionReply; lessonId: string; atMs: number }
  | { type: 'request-failed'; problem: WireError }
  /** The request was refused because of another session; null when that one is gone already. */
  | { type: 'session-exists'; otherSession: SessionInfo | null; problem: WireError }
  | { type: 'other-session-deleted' }
  | { type: 'session-deleted' }
  | { type: 'extended'; session: SessionInfo }
  | { type: 'extend-answered' }
  | { type: 'grant'; grant: string | null }
  | { type: 'recording-saved'; name: string }
  // What the learner does.
  | { type: 'watch'; atMs: number }
  | { type: 'start'; atMs: number }
  | { type: 'reset'; atMs: number }
  | { type: 'leave-queue' }
  | { type: 'turn-seen' }
  | { type: 'extend' }
  | { type: 'check'; stepId: string }
  | { type: 'rewind-sent'; stepId: string }
  | { type: 'rewind-refused'; stepId: string; problem: WireError }
  | { type: 'run-sent'; stepId: string; block: number; runId: string }
  | { type: 'run-refused'; stepId: string; block: number; problem: WireError }
  | { type: 'question-answered' }
  | { type: 'layout'; layout: Layout }
  | { type: 'undelivered'; terminal: string; input: UndeliveredInput | null }
  | { type: 'problem'; problem: WireError | null }
  | { type: 'announce'; text: string };

export const initialState: SessionState = {
  phase: 'loading',
  runs: {},
  lab: null,
  role: 'owner',
  layout: firstLayout,
  problem: null,
  announcement: '',
};

const noTerminals: Terminals = {
  terminals: [],
  atPrompt: {},
  lastCommand: {},
  undelivered: {},
  opened: {},
};

/** Only the fields of every phase, so that a phase leaves nothing behind in the next one. */
function shared({ lab, role, layout, problem, announcement }: SessionState): Shared {
  return { lab, role, layout, problem, announcement };
}

const refusedOnly = (runs: Runs): Runs<RefusedRun> =>
  Object.fromEntries(
    Object.entries(runs).flatMap(([key, run]) => (run.state === 'refused' ? [[key, run] as const] : [])),
  );

const runsOfHostsGone: WireError = {
  code: 'not-ready',
  message: 'The hosts were gone before the command was typed.',
  hint: 'Start new hosts, then run the command again.',
};

const noLine = (atMs: number): Line => ({ state: 'closed', brokenSinceMs: atMs });

const toNone = (state: SessionState, otherSession: SessionInfo | null): SessionState => ({
  ...shared(state),
  phase: 'none',
  otherSession,
  runs: refusedOnly(state.runs),
});

/** A new start: the page forgets the session and its work, but not what stands in the way of the next one. */
const toRequesting = (
  state: SessionState,
  requestedBy: Requesting['requestedBy'],
  atMs: number,
): SessionState => ({
  ...shared(state),
  problem: null,
  phase: 'requesting',
  otherSession: state.phase === 'none' ? state.otherSession : null,
  requestedBy,
  sinceMs: atMs,
  runs: {},
});

function toEnded(state: SessionState, reason: EndReason | null): SessionState {
  switch (state.phase) {
    case 'joining':
      return { ...shared(state), phase: 'ended', reason, steps: {}, values: {}, runs: state.runs };
    case 'active':
    case 'failed': {
      const { steps, values, runs } = state;
      return {
        ...shared(state),
        phase: 'ended',
        reason,
        steps,
        values,
        runs: settleRuns(runs, runsOfHostsGone),
      };
    }
    case 'loading':
    case 'none':
    case 'requesting':
    case 'queued':
    case 'ended':
      return state;
  }
}

function toFailed(state: StateIn<'active'>, error: WireError | undefined): StateIn<'failed'> {
  const { session, sandboxId, line, steps, values, runs } = state;
  const { terminals, atPrompt, lastCommand, undelivered, opened } = state;
  return {
    ...shared(state),
    phase: 'failed',
    failure: error ?? { code: 'internal', message: 'The server gave no reason why the hosts failed.' },
    ...{ session, sandboxId, line, steps, values },
    ...{ terminals, atPrompt, lastCommand, undelivered, opened },
    runs: settleRuns(runs, runsOfHostsGone),
  };
}

/** What the server has for this browser: a pair, a position in the queue, or nothing. */
function onReply(state: SessionState, event: Extract<SessionEvent, { type: 'reply' }>): SessionState {
  const { session, queue } = event.reply;
  switch (state.phase) {
    case 'loading':
    case 'none':
    case 'requesting':
    case 'queued': {
      if (session !== null) {
        if (session.lessonId !== event.lessonId) return toNone(state, session);
        return {
          ...shared(state),
          phase: 'joining',
          session,
          line: noLine(event.atMs),
          sinceMs: event.atMs,
          turnUnseen: state.phase === 'queued',
          runs: state.runs,
        };
      }
      if (queue !== null)
        return { ...shared(state), problem: null, phase: 'queued', queue, runs: state.runs };
      if (state.phase !== 'queued') return toNone(state, null);
      const problem: WireError = {
        code: 'lost',
        message: 'You have lost your position in the queue.',
        hint: 'The server gives it to the next learner when it does not hear from this page for a while, or when you leave the queue in another tab.',
      };
      return { ...toNone(state, null), problem };
    }
    case 'joining':
    case 'active':
    case 'failed':
    case 'ended':
      return state;
  }
}

function onLine(
  state: SessionState,
  { state: line, atMs }: Extract<SessionEvent, { type: 'line' }>,
): SessionState {
  if (state.phase !== 'joining' && state.phase !== 'active' && state.phase !== 'failed') return state;
  if (line === 'open') return { ...state, line: { state: line, silentSinceMs: null } };
  const brokenSinceMs = state.line.state === 'open' ? atMs : state.line.brokenSinceMs;
  const next = { ...state, line: { state: line, brokenSinceMs } };
  // A connection that was given up sends nothing again.
  if (line === 'connecting' || next.phase !== 'active') return next;
  const problem: WireError = {
    code: 'lost',
    message: 'There is no connection to the hosts.',
    hint: 'Reload the page, then run the command again.',
  };
  return { ...next, runs: refuseSent(next.runs, problem) };
}

function onLineFailed(state: SessionState, problem: WireError): SessionState {
  const isOver = problem.code === 'no-session' || problem.code === 'session-ended';
  // About a link that never showed anything, the server's error says more.
  const isRevoked =
    problem.code === 'forbidden' &&
    state.role === 'viewer' &&
    (state.phase === 'active' || state.phase === 'failed');
  return isOver || isRevoked ? toEnded(state, null) : { ...state, problem };
}

function withTerminals<S extends StateIn<'active' | 'failed'>>(
  state: S,
  terminals: readonly TerminalInfo[],
): S {
  const kept = <T>(all: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(all).filter(([id]) => terminals.some((one) => one.id === id)));
  return {
    ...state,
    terminals,
    atPrompt: kept(state.atPrompt),
    lastCommand: kept(state.lastCommand),
    undelivered: kept(state.undelivered),
    layout: settleLayout(state.layout, terminals),
  };
}

/**
 * What is still true of a rewind after a break: a refusal by the server. Whether a rewind that was sent has happened, the hello says.
 */
const stillRefused = (rewind: RewindState | null): RewindState | null =>
  rewind?.state === 'refused' && rewind.problem.code !== 'lost' ? rewind : null;

type MessageOf<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;

function onHello(
  state: StateIn<'joining' | 'active' | 'failed'>,
  hello: MessageOf<'hello'>,
  atMs: number,
): SessionState {
  const { phase, elapsedMs, error } = hello.pair;
  // The end itself is a message of its own, or the reason why the next connection is refused.
  if (phase === 'ended') return state;
  const isKnown = state.phase !== 'joining' && state.sandboxId === hello.sandboxId;
  const before = isKnown ? state : noTerminals;
  const { atPrompt, lastCommand, undelivered } = before;
  const problem: WireError = {
    code: 'not-ready',
    message: 'You have new hosts; the command was for the old ones.',
    hint: 'Run it again.',
  };
  const runs = isKnown || state.phase === 'joining' ? state.runs : refuseSent(state.runs, problem);
  const active = withTerminals<StateIn<'active'>>(
    {
      ...shared(state),
      role: hello.role,
      phase: 'active',
      session: hello.session,
      sandboxId: hello.sandboxId,
      line: state.line,
      pair: { phase: phase === 'failed' ? 'cloning' : phase, elapsedMs, atMs },
      turnUnseen: state.phase === 'failed' ? false : state.turnUnseen,
      deadline: hello.deadline,
      extending: state.phase === 'active' && state.extending,
      saves: hello.saves,
      rewind: isKnown && state.phase === 'active' ? stillRefused(state.rewind) : null,
      steps: hello.steps,
      checking: [],
      values: hello.values,
      runs: reportedRuns(runs, hello.runs, atMs),
      question: isKnown && state.phase === 'active' ? state.question : null,
      grant: state.phase === 'active' ? state.grant : undefined,
      ...{ terminals: [], atPrompt, lastCommand, undelivered, opened: {} },
    },
    hello.terminals,
  );
  return phase === 'failed' ? toFailed(active, error) : active;
}

function onPair(state: StateIn<'active'>, { phase, elapsedMs, error }: PairStatus, atMs: number) {
  switch (phase) {
    case 'failed':
      return toFailed(state, error);
    case 'ended':
      // A message of its own follows and says why.
      return state;
    case 'rewinding': {
      const { rewind } = state;
      const going: RewindState | null =
        rewind === null || rewind.state === 'refused' ? null : { stepId: rewind.stepId, state: 'going' };
      return {
        ...state,
        pair: { phase, elapsedMs, atMs },
        rewind: state.pair.phase === 'rewinding' ? rewind : going,
      };
    }
    case 'ready':
      return {
        ...state,
        pair: { phase, elapsedMs, atMs },
        rewind: state.rewind?.state === 'going' ? null : state.rewind,
      };
    case 'cloning':
    case 'resuming':
    case 'logging-in':
    case 'setting-clocks':
      return { ...state, pair: { phase, elapsedMs, atMs } };
  }
}

type Hosted = StateIn<'active' | 'failed'>;

/** After a break, marks and commands may come that came before it already: what is known of a later one stays. */
function onCommand<S extends Hosted>(state: S, terminal: string, command: LastCommand): S {
  const last = state.lastCommand[terminal];
  const isNews =
    last === undefined ||
    command.command > last.command ||
    (command.command === last.command && command.state === 'done');
  if (!isNews || !state.terminals.some(({ id }) => id === terminal)) return state;
  return { ...state, lastCommand: { ...state.lastCommand, [terminal]: command } };
}

function onMark<S extends Hosted>(state: S, terminal: string, mark: ShellMark, atMs: number): S {
  switch (mark.kind) {
    case 'prompt':
      return state;
    case 'start':
      return onCommand(state, terminal, { command: mark.command, state: 'running', sinceMs: atMs });
    case 'end': {
      const { command, exitCode, durationMs } = mark;
      return onCommand(state, terminal, { command, state: 'done', exitCode, durationMs });
    }
  }
}

/** The commands of a repainted screen: among them may be the end of one whose mark was not seen. */
function onScreen<S extends Hosted>(state: S, terminal: string, commands: readonly ShownCommand[]): S {
  return commands.reduce((now, { command, outputLine, endLine, exitCode, durationMs }) => {
    if (outputLine === null) return now;
    return onCommand(
      now,
      terminal,
      endLine === null
        ? { command, state: 'running', sinceMs: null }
        : { command, state: 'done', exitCode, durationMs },
    );
  }, state);
}

function onTerminals<S extends Hosted>(state: S, message: MessageOf<'terminals'>): S {
  const next = withTerminals(state, message.terminals);
  const opened = message.terminals.find(({ id }) => !state.terminals.some((one) => one.id === id));
  const { requestId } = message;
  return requestId === undefined || opened === undefined
    ? next
    : { ...next, opened: { ...next.opened, [requestId]: opened.id } };
}

function onRunRefused(state: StateIn<'active'>, message: MessageOf<'run-refused'>): SessionState {
  const { runId, stepId, block, terminal, busy, error } = message;
  const key = blockKey(stepId, block);
  const run = state.runs[key];
  // Only the page that asked for a run asks the learner what to do.
  if (run?.state !== 'sent' || run.runId !== runId) return state;
  return {
    ...state,
    runs: { ...state.runs, [key]: { state: 'refused', problem: error } },
    question: busy === undefined ? state.question : { stepId, block, terminal, busy },
  };
}

/** An error that comes while a rewind is requested is its answer; any other belongs to nothing in particular. */
function onError(state: SessionState, problem: WireError): SessionState {
  if (state.phase !== 'active' || state.rewind === null || state.rewind.state === 'refused')
    return { ...state, problem };
  return { ...state, rewind: { stepId: state.rewind.stepId, state: 'refused', problem } };
}

/** The one place where the page handles what the server sends; terminals' bytes are the connection's. */
function onMessage(state: SessionState, message: ServerMessage, atMs: number): SessionState {
  const hasLine = state.phase === 'joining' || state.phase === 'active' || state.phase === 'failed';
  if (!hasLine) return state;
  const hosted = state.phase === 'joining' ? undefined : state;
  const active = state.phase === 'active' ? state : undefined;
  switch (message.type) {
    case 'hello':
      return onHello(state, message, atMs);
    case 'pair':
      return active === undefined ? state : onPair(active, message.pair, atMs);
    case 'step':
      if (active === undefined) return state;
      return {
        ...active,
        steps: { ...active.steps, [message.stepId]: message.step },
        checking: active.checking.filter((id) => id !== message.stepId),
      };
    case 'values':
      if (active === undefined) return state;
      return { ...active, values: { ...active.values, ...message.values } };
    case 'run': {
      if (active === undefined) return state;
      const key = blockKey(message.run.stepId, message.run.block);
      return { ...active, runs: { ...active.runs, [key]: typedRun(message.run, atMs) } };
    }
    case 'run-refused':
      return active === undefined ? state : onRunRefused(active, message);
    case 'terminals':
      return hosted === undefined ? state : onTerminals(hosted, message);
    case 'prompt':
      if (hosted?.terminals.some(({ id }) => id === message.terminal) !== true) return state;
      return { ...hosted, atPrompt: { ...hosted.atPrompt, [message.terminal]: message.idle } };
    case 'mark':
      return hosted === undefined ? state : onMark(hosted, message.terminal, message.mark, atMs);
    case 'screen':
      return hosted === undefined ? state : onScreen(hosted, message.terminal, message.commands);
    case 'deadline':
      return active === undefined ? state : { ...active, deadline: message.deadline };
    case 'saves':
      return active === undefined ? state : { ...active, saves: message.saves };
    case 'rewound':
      if (active === undefined) return state;
      return {
        ...active,
        steps: message.steps,
        checking: [],
        values: message.values,
        runs: typedRuns(message.runs, atMs),
        rewind: null,
        lastCommand: {},
        question: null,
      };
    case 'ended':
      // A viewer's link was for the hosts that are gone.
      return message.reason === 'reset' && state.role === 'owner'
        ? toRequesting(state, 'other-page', atMs)
        : toEnded(state, message.reason);
    case 'error':
      return onError(state, message.error);
    case 'attached':
    case 'size':
    case 'input-ack':
    case 'pong':
      return state;
  }
}

function withRun(
  state: SessionState,
  { stepId, block }: { stepId: string; block: number },
  run: { state: 'sent'; runId: string } | RefusedRun,
): SessionState {
  const key = blockKey(stepId, block);
  if (state.phase === 'active') return { ...state, runs: { ...state.runs, [key]: run } };
  if (run.state === 'sent') return state;
  if (state.phase === 'failed' || state.phase === 'ended')
    return { ...state, runs: { ...state.runs, [key]: run } };
  return { ...state, runs: { ...state.runs, [key]: run } };
}

function withUndelivered(
  state: SessionState,
  terminal: string,
  input: UndeliveredInput | null,
): SessionState {
  if (state.phase !== 'active' && state.phase !== 'failed') return state;
  const others = Object.entries(state.undelivered).filter(([id]) => id !== terminal);
  const isKnown = state.terminals.some(({ id }) => id === terminal);
  const all = input === null || !isKnown ? others : [...others, [terminal, input] as const];
  return { ...state, undelivered: Object.fromEntries(all) };
}

/** @returns the same object when the event changes nothing */
export function reduce(state: SessionState, event: SessionEvent): SessionState {
  const active = state.phase === 'active' ? state : undefined;
  switch (event.type) {
    case 'message':
      return onMessage(state, event.message, event.atMs);
    case 'line':
      return onLine(state, event);
    case 'line-silent': {
      const hasLine = state.phase === 'joining' || state.phase === 'active' || state.phase === 'failed';
      if (!hasLine || state.line.state !== 'open') return state;
      return { ...state, line: { state: 'open', silentSinceMs: event.sinceMs } };
    }
    case 'line-failed':
      return onLineFailed(state, event.problem);
    case 'lab':
      return { ...state, lab: event.lab };
    case 'reply':
      return onReply(state, event);
    case 'request-failed': {
      const { problem } = event;
      if (state.phase === 'loading') return { ...toNone(state, null), problem };
      if (state.phase === 'requesting') return { ...toNone(state, state.otherSession), problem };
      return { ...state, problem };
    }
    case 'session-exists': {
      const { otherSession, problem } = event;
      const asked = state.phase === 'loading' || state.phase === 'requesting';
      return { ...(asked ? toNone(state, otherSession) : state), problem };
    }
    case 'other-session-deleted':
      return state.phase === 'requesting' ? { ...state, otherSession: null } : state;
    case 'session-deleted':
      return toEnded(state, 'by-learner');
    case 'extended': {
      if (active === undefined) return state;
      const { endsAtMs, extensionsLeft } = event.session;
      const deadline = { ...active.deadline, endsAtMs, extensionsLeft };
      return { ...active, session: event.session, deadline };
    }
    case 'extend-answered':
      return active === undefined ? state : { ...active, extending: false };
    case 'grant':
      return active === undefined ? state : { ...active, grant: event.grant };
    case 'watch':
      return {
        ...shared(state),
        role: 'viewer',
        phase: 'joining',
        session: null,
        line: noLine(event.atMs),
        sinceMs: event.atMs,
        turnUnseen: false,
        runs: {},
      };
    case 'start':
    case 'reset':
      return toRequesting(state, 'this-page', event.atMs);
    case 'leave-queue':
      return state.phase === 'queued' ? toNone(state, null) : state;
    case 'turn-seen':
      if ((state.phase !== 'joining' && state.phase !== 'active') || !state.turnUnseen) return state;
      return { ...state, turnUnseen: false };
    case 'extend':
      return active === undefined ? state : { ...active, extending: true };
    case 'check': {
      if (active === undefined) return state;
      const { stepId } = event;
      return { ...active, checking: [...active.checking.filter((id) => id !== stepId), stepId] };
    }
    case 'rewind-sent':
      return active === undefined ? state : { ...active, rewind: { stepId: event.stepId, state: 'sent' } };
    case 'rewind-refused': {
      const { stepId, problem } = event;
      return active === undefined ? state : { ...active, rewind: { stepId, state: 'refused', problem } };
    }
    case 'run-sent':
      return withRun(state, event, { state: 'sent', runId: event.runId });
    case 'run-refused':
      return withRun(state, event, { state: 'refused', problem: event.problem });
    case 'question-answered':
      return active === undefined ? state : { ...active, question: null };
    case 'layout':
      return event.layout === state.layout ? state : { ...state, layout: event.layout };
    case 'undelivered':
      return withUndelivered(state, event.terminal, event.input);
    case 'problem':
      return event.problem === state.problem ? state : { ...state, problem: event.problem };
    // These are only announced.
    case 'announce':
    case 'recording-saved':
      return state;
  }
}
