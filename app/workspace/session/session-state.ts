/**
 * The page's view of the learner's session as one immutable value, and the events that change it. Each phase has only the fields that
 * make sense in it. The transitions are in reduce.ts.
 */
import type { ConnectionState } from '../../../server/client/connection';
import type { WireError } from '../../../server/protocol/errors';
import type { LabInfo, QueuePosition, SessionReply } from '../../../server/protocol/http';
import type { ServerMessage } from '../../../server/protocol/messages';
import type {
  Deadline,
  EndReason,
  PairPhase,
  Role,
  SavedState,
  SessionInfo,
  StepState,
} from '../../../server/protocol/session';
import type { Busy, TerminalInfo } from '../../../server/protocol/terminal';
import { firstLayout, type Layout } from '../panes/pane-layout';
import type { CommandState, RefusedRun, Runs, SettledRun } from './run-state';

/** A terminal's last command; `command` counts its commands from 1. */
export type LastCommand = CommandState & { command: number };

/** A command that waits for the learner's decision, because its terminal is busy. */
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
  /** A paste was too long for the queue. */
  | { kind: 'too-much' };

/** A rewind to the start of a step: requested, under way, or refused. */
export type RewindState =
  { stepId: string; state: 'sent' | 'going' } | { stepId: string; state: 'refused'; problem: WireError };

/** The page's connection to its session. Times are Unix milliseconds of this computer. */
export type Line =
  | { state: 'connecting' | 'closed'; brokenSinceMs: number }
  /** `silentSinceMs`: since when the connection has been silent; null while it answers. */
  | { state: 'open'; silentSinceMs: number | null };

/** Phases of a pair that runs or is about to. */
type LivePairPhase = Exclude<PairPhase, 'failed' | 'ended'>;

interface Pair {
  phase: LivePairPhase;
  /** Milliseconds since the pair's launch, as reported at `atMs`. */
  elapsedMs: number;
  /** Unix milliseconds of this computer. */
  atMs: number;
}

/** Fields that every phase has. */
export interface Shared {
  lab: LabInfo | null;
  role: Role;
  layout: Layout;
  /** The last failure that no other part of the page shows. */
  problem: WireError | null;
  /** The newest announcement for screen readers. */
  announcement: string;
}

/** Without hosts, a click on Run is refused. */
interface WithoutHosts {
  runs: Runs<RefusedRun>;
}

/** The page asks the server what this browser has. */
interface Loading extends WithoutHosts {
  phase: 'loading';
}

interface None extends WithoutHosts {
  phase: 'none';
  /** This browser's session for another lesson, which blocks one for this lesson. */
  otherSession: SessionInfo | null;
}

interface Requesting extends WithoutHosts {
  phase: 'requesting';
  otherSession: SessionInfo | null;
  /** The page that requested the hosts. After a request by another page of this browser, this page looks for those hosts. */
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
  /** Null for a viewer, whose page gets it with the hello. */
  session: SessionInfo | null;
  line: Line;
  sinceMs: number;
  /** The pair came from the queue, and the learner may not have noticed yet. */
  turnUnseen: boolean;
}

/** Progress in the lesson. It stays on the page when the hosts are gone. */
interface Progress {
  steps: Readonly<Record<string, StepState>>;
  values: Readonly<Record<string, string>>;
}

export interface Terminals {
  terminals: readonly TerminalInfo[];
  /** By terminal: whether its shell is at its prompt; absent while unknown. */
  atPrompt: Readonly<Record<string, boolean>>;
  /** By terminal: the last command that this page saw. */
  lastCommand: Readonly<Record<string, LastCommand>>;
  /** By terminal. */
  undelivered: Readonly<Record<string, UndeliveredInput>>;
  /** By request: the terminal that was opened for it. */
  opened: Readonly<Record<string, string>>;
}

/** The page has received the server's hello. */
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
  /** The learner requested more time, and the server has not answered. */
  extending: boolean;
  /** The saved states to which the learner can go back. */
  saves: readonly SavedState[];
  rewind: RewindState | null;
  /** Steps whose check was requested and has not finished. */
  checking: readonly string[];
  runs: Runs;
  question: BusyQuestion | null;
  /** The viewers' grant; null when there is none, undefined while unknown. */
  grant: string | null | undefined;
}

/** The pair did not start, or was lost. The session stays until the learner ends it. */
interface Failed extends Joined {
  phase: 'failed';
  failure: WireError;
  runs: Runs<SettledRun>;
}

interface Ended extends Progress {
  phase: 'ended';
  /** Null when the server no longer has the session. */
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
  /** The connection gave up for good. */
  | { type: 'line-failed'; problem: WireError }
  // Answers to HTTP requests.
  | { type: 'lab'; lab: LabInfo }
  /** This browser's session or queue position; `lessonId` is this page's lesson. */
  | { type: 'reply'; reply: SessionReply; lessonId: string; atMs: number }
  | { type: 'request-failed'; problem: WireError }
  /** The request was refused because of another session; null when that session has ended since. */
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
