/**
 * What the page knows of the learner's session, as one immutable value, and the events that change it. Each phase has only the
 * fields that make sense in it. The transitions are in reduce.ts.
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
type LivePairPhase = Exclude<PairPhase, 'failed' | 'ended'>;

interface Pair {
  phase: LivePairPhase;
  /** Milliseconds since the pair's launch, as the server said at `atMs`. */
  elapsedMs: number;
  /** Unix milliseconds of this computer. */
  atMs: number;
}

/** Fields of every phase. */
export interface Shared {
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

export interface Terminals {
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
