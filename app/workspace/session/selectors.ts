/** Selectors that components use in any phase. Each returns the same value for the same state. */
import type { ConnectionState } from '../../../server/client/connection';
import type { WireError } from '../../../server/protocol/errors';
import type { QueuePosition } from '../../../server/protocol/http';
import type { HostName } from '../../../server/protocol/hosts';
import type { Deadline, PairPhase, SessionInfo, StepState } from '../../../server/protocol/session';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { activeTerminal, type HostLayout } from '../panes/pane-layout';
import type {
  BusyQuestion,
  LastCommand,
  Line,
  RewindState,
  SessionState,
  UndeliveredInput,
} from './session-state';

/** The phase that the page shows: the pair's, or the page's own before there is a pair. */
export type ShownPhase = 'loading' | 'none' | 'requesting' | 'queued' | PairPhase;

const noSteps: Readonly<Record<string, StepState>> = {};
const noValues: Readonly<Record<string, string>> = {};
const noTerminals: readonly TerminalInfo[] = [];
const noPrompts: Readonly<Record<string, boolean>> = {};

export function shownPhase(state: SessionState): ShownPhase {
  switch (state.phase) {
    case 'joining':
      return 'cloning';
    case 'active':
      return state.pair.phase;
    case 'loading':
    case 'none':
    case 'requesting':
    case 'queued':
    case 'failed':
    case 'ended':
      return state.phase;
  }
}

/** There is a pair: ready, or returning to a saved state. */
export const hasPair = (state: SessionState): boolean =>
  state.phase === 'active' && (state.pair.phase === 'ready' || state.pair.phase === 'rewinding');

export const isReady = (state: SessionState): boolean =>
  state.phase === 'active' && state.pair.phase === 'ready';

export const isRewinding = (state: SessionState): boolean =>
  state.phase === 'active' && state.pair.phase === 'rewinding';

/** There is a session for this page's lesson. */
export const hasSession = (state: SessionState): boolean => lineOf(state) !== null;

/** Null while there is no session to connect to. */
export const lineOf = (state: SessionState): Line | null =>
  state.phase === 'joining' || state.phase === 'active' || state.phase === 'failed' ? state.line : null;

export const connectionOf = (state: SessionState): ConnectionState => lineOf(state)?.state ?? 'closed';

export const isOnline = (state: SessionState): boolean => connectionOf(state) === 'open';

/** The pair is ready, and the learner's actions reach it. */
export const canAct = (state: SessionState): boolean => isReady(state) && isOnline(state);

/** When the connection broke, in Unix milliseconds; null while there is one or none is needed. */
export function brokenSinceMs(state: SessionState): number | null {
  const line = lineOf(state);
  return line === null || line.state === 'open' ? null : line.brokenSinceMs;
}

/** Since when an open connection has been silent, in Unix milliseconds; null while it answers. */
export function silentSinceMs(state: SessionState): number | null {
  const line = lineOf(state);
  return line?.state === 'open' ? line.silentSinceMs : null;
}

export const isOwner = (state: SessionState): boolean => state.role === 'owner';

export const sessionOf = (state: SessionState): SessionInfo | null =>
  state.phase === 'joining' || state.phase === 'active' || state.phase === 'failed' ? state.session : null;

export const queueOf = (state: SessionState): QueuePosition | null =>
  state.phase === 'queued' ? state.queue : null;

export const deadlineOf = (state: SessionState): Deadline | null =>
  state.phase === 'active' ? state.deadline : null;

export const isExtending = (state: SessionState): boolean => state.phase === 'active' && state.extending;

export const isTurnUnseen = (state: SessionState): boolean =>
  (state.phase === 'joining' || state.phase === 'active') && state.turnUnseen;

export const failureOf = (state: SessionState): WireError | null =>
  state.phase === 'failed' ? state.failure : null;

/** When the pair's launch began, or the current phase during a rewind, in Unix milliseconds of this computer. */
export function startedAtMs(state: SessionState): number {
  switch (state.phase) {
    case 'requesting':
    case 'joining':
      return state.sinceMs;
    case 'active':
      return state.pair.atMs - state.pair.elapsedMs;
    case 'loading':
    case 'none':
    case 'queued':
    case 'failed':
    case 'ended':
      return 0;
  }
}

/** When the server reported the pair's current phase, in Unix milliseconds of this computer. */
export const phaseSinceMs = (state: SessionState): number => (state.phase === 'active' ? state.pair.atMs : 0);

export const stepsOf = (state: SessionState): Readonly<Record<string, StepState>> =>
  'steps' in state ? state.steps : noSteps;

export const hasPassed =
  (stepId: string) =>
  (state: SessionState): boolean =>
    stepsOf(state)[stepId]?.state === 'passed';

export const valuesOf = (state: SessionState): Readonly<Record<string, string>> =>
  'values' in state ? state.values : noValues;

export const isChecking =
  (stepId: string) =>
  (state: SessionState): boolean =>
    state.phase === 'active' && state.checking.includes(stepId);

/** When a step's initial state was saved, in Unix milliseconds; undefined if it was not. */
export const savedAtMs =
  (stepId: string) =>
  (state: SessionState): number | undefined =>
    state.phase === 'active' ? state.saves.find((save) => save.stepId === stepId)?.savedAtMs : undefined;

export const rewindOf =
  (stepId: string) =>
  (state: SessionState): RewindState | null =>
    state.phase === 'active' && state.rewind?.stepId === stepId ? state.rewind : null;

export const questionOf = (state: SessionState): BusyQuestion | null =>
  state.phase === 'active' ? state.question : null;

export const grantOf = (state: SessionState): string | null | undefined =>
  state.phase === 'active' ? state.grant : undefined;

export const terminalsOf = (state: SessionState): readonly TerminalInfo[] =>
  'terminals' in state ? state.terminals : noTerminals;

/** By terminal: whether its shell is at its prompt; absent while unknown. */
export const promptsOf = (state: SessionState): Readonly<Record<string, boolean>> =>
  'atPrompt' in state ? state.atPrompt : noPrompts;

export const layoutOf =
  (host: HostName) =>
  (state: SessionState): HostLayout =>
    state.layout.hostLayouts[host];

/** The id of a host's terminal in use on this page. */
export const activeTerminalOf =
  (host: HostName) =>
  (state: SessionState): string =>
    activeTerminal(layoutOf(host)(state));

/** The last command in a host's terminal in use. */
export const lastCommandOf =
  (host: HostName) =>
  (state: SessionState): LastCommand | undefined =>
    'lastCommand' in state ? state.lastCommand[activeTerminalOf(host)(state)] : undefined;

export const undeliveredOf =
  (terminal: string) =>
  (state: SessionState): UndeliveredInput | undefined =>
    'undelivered' in state ? state.undelivered[terminal] : undefined;
