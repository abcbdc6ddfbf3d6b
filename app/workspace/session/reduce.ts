/** How each event changes the page's session. Pure: no network, no timers, no framework. */
import type { WireError } from '../../../server/protocol/errors';
import { noLine, shared, toEnded, toNone, toRequesting } from './phase-changes';
import { blockKey, refuseSent, type RefusedRun } from './run-state';
import { onMessage } from './server-messages';
import type { SessionEvent, SessionState, UndeliveredInput } from './session-state';

/** The server's answer about this browser: a session, a position in the queue, or neither. */
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
        hint: 'You lose it when the server does not hear from this page for a while, or when you leave the queue in another tab.',
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
  // A closed connection does not send requests again.
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
  // For a link that never worked, the server's error says more.
  const isRevoked =
    problem.code === 'forbidden' &&
    state.role === 'viewer' &&
    (state.phase === 'active' || state.phase === 'failed');
  return isOver || isRevoked ? toEnded(state, null) : { ...state, problem };
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
