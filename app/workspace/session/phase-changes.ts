/** The transitions between phases. */
import type { WireError } from '../../../server/protocol/errors';
import type { EndReason, SessionInfo } from '../../../server/protocol/session';
import { settleRuns, type RefusedRun, type Runs } from './run-state';
import type { Line, SessionState, Shared, StateIn, Terminals } from './session-state';

export const noTerminals: Terminals = {
  terminals: [],
  atPrompt: {},
  lastCommand: {},
  undelivered: {},
  opened: {},
};

/** Only the fields that every phase has, so no other field leaks into the next phase. */
export function shared({ lab, role, layout, problem, announcement }: SessionState): Shared {
  return { lab, role, layout, problem, announcement };
}

const refusedOnly = (runs: Runs): Runs<RefusedRun> =>
  Object.fromEntries(
    Object.entries(runs).flatMap(([key, run]) => (run.state === 'refused' ? [[key, run] as const] : [])),
  );

const runsOfHostsGone: WireError = {
  code: 'not-ready',
  message: 'The hosts were lost before the command was typed.',
  hint: 'Start new hosts, then run the command again.',
};

export const noLine = (atMs: number): Line => ({ state: 'closed', brokenSinceMs: atMs });

export const toNone = (state: SessionState, otherSession: SessionInfo | null): SessionState => ({
  ...shared(state),
  phase: 'none',
  otherSession,
  runs: refusedOnly(state.runs),
});

/** Starts over: the page forgets the session and its progress, but keeps the session that blocks a new one. */
export const toRequesting = (
  state: SessionState,
  requestedBy: StateIn<'requesting'>['requestedBy'],
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

export function toEnded(state: SessionState, reason: EndReason | null): SessionState {
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

export function toFailed(state: StateIn<'active'>, error: WireError | undefined): StateIn<'failed'> {
  const { session, sandboxId, line, steps, values, runs } = state;
  const { terminals, atPrompt, lastCommand, undelivered, opened } = state;
  return {
    ...shared(state),
    phase: 'failed',
    failure: error ?? { code: 'internal', message: 'The hosts failed, and the server gave no reason.' },
    ...{ session, sandboxId, line, steps, values },
    ...{ terminals, atPrompt, lastCommand, undelivered, opened },
    runs: settleRuns(runs, runsOfHostsGone),
  };
}
