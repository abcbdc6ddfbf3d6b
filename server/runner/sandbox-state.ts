/**
 * The life of a sandbox: what its pair is doing, and which session has it. Transitions are pure and only move forward, except that
 * a pair goes from ready to rewinding and back. A transition that a state does not have leaves the state as it is: what began
 * before the sandbox ended, or before its pair failed, may finish after it.
 */
import type { WireError } from '../protocol/errors';
import type { Assignment } from '../protocol/runner';
import type { EndReason, PairPhase, PairStatus } from '../protocol/session';

export type StartingPhase = Exclude<PairPhase, 'ready' | 'rewinding' | 'failed' | 'ended'>;

/** @typeParam P the pair */
export type SandboxState<P> =
  | { readonly is: 'starting'; readonly phase: StartingPhase }
  | { readonly is: 'ready'; readonly pair: P }
  /** Both hosts go back to a saved state. The terminals stay and get new shells. */
  | { readonly is: 'rewinding'; readonly pair: P }
  /** The pair cannot go on. It is destroyed, and the sandbox stays for a while to say why. */
  | { readonly is: 'failed'; readonly error: WireError; readonly sinceMs: number }
  | { readonly is: 'ended'; readonly reason: EndReason };

export const starting = { is: 'starting', phase: 'cloning' } as const;

/** The pair's start is in this phase now. */
export function afterPhase<P>(state: SandboxState<P>, phase: StartingPhase): SandboxState<P> {
  return state.is === 'starting' ? { is: 'starting', phase } : state;
}

/** The pair takes commands, for the first time or after a rewind. */
export function afterReady<P>(state: SandboxState<P>, pair: P): SandboxState<P> {
  return state.is === 'starting' || state.is === 'rewinding' ? { is: 'ready', pair } : state;
}

/** A rewind begins. */
export function afterRewind<P>(state: SandboxState<P>): SandboxState<P> {
  return state.is === 'ready' ? { is: 'rewinding', pair: state.pair } : state;
}

/** The pair is lost. */
export function afterFailure<P>(state: SandboxState<P>, error: WireError, atMs: number): SandboxState<P> {
  switch (state.is) {
    case 'starting':
    case 'ready':
    case 'rewinding':
      return { is: 'failed', error, sinceMs: atMs };
    case 'failed':
    case 'ended':
      return state;
  }
}

export function afterEnd<P>(state: SandboxState<P>, reason: EndReason): SandboxState<P> {
  return state.is === 'ended' ? state : { is: 'ended', reason };
}

/** The pair of a sandbox that has one which runs. */
export function pairOf<P>(state: SandboxState<P>): P | undefined {
  return state.is === 'ready' || state.is === 'rewinding' ? state.pair : undefined;
}

/** As messages and the runner's status carry it. */
export function phaseOf(state: SandboxState<unknown>): PairPhase {
  return state.is === 'starting' ? state.phase : state.is;
}

/** @param elapsedMs since the sandbox's start */
export function statusOf(state: SandboxState<unknown>, elapsedMs: number): PairStatus {
  const phase = phaseOf(state);
  return state.is === 'failed' ? { phase, elapsedMs, error: state.error } : { phase, elapsedMs };
}

/**
 * Which session has the sandbox. In the pool it is nobody's.
 * @typeParam T what belongs to the learner: their progress in the lesson
 */
export type Tenancy<T> =
  | { readonly is: 'unassigned' }
  | { readonly is: 'assigned'; readonly assignment: Assignment; readonly progress: T };

export const unassigned = { is: 'unassigned' } as const;
