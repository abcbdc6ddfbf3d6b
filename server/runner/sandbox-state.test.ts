import { expect, test } from 'vitest';
import {
  afterEnd,
  afterFailure,
  afterPhase,
  afterReady,
  afterRewind,
  pairOf,
  phaseOf,
  starting,
  statusOf,
  type SandboxState,
} from './sandbox-state';

type State = SandboxState<string>;
const error = { code: 'lost', message: 'The host has stopped.' } as const;
const states: Record<State['is'], State> = {
  starting,
  ready: { is: 'ready', pair: 'pair' },
  rewinding: { is: 'rewinding', pair: 'pair' },
  failed: { is: 'failed', error, sinceMs: 5 },
  ended: { is: 'ended', reason: 'idle' },
};
const loggingIn: State = { is: 'starting', phase: 'logging-in' };
const lost: State = { is: 'failed', error, sinceMs: 7 };
const stopped: State = { is: 'ended', reason: 'by-learner' };
const { starting: begun, ready, rewinding, failed, ended } = states;

test.each<[string, (state: State) => State, Record<State['is'], State>]>([
  [
    'a phase of the start changes nothing after the start',
    (state) => afterPhase(state, 'logging-in'),
    { starting: loggingIn, ready, rewinding, failed, ended },
  ],
  [
    'a pair becomes ready after its start and after a rewind, and in no other state',
    (state) => afterReady(state, 'pair'),
    { starting: ready, ready, rewinding: ready, failed, ended },
  ],
  [
    'only a pair that is ready is rewound',
    afterRewind,
    { starting: begun, ready: rewinding, rewinding, failed, ended },
  ],
  [
    'the first failure counts, and none after the end',
    (state) => afterFailure(state, error, 7),
    { starting: lost, ready: lost, rewinding: lost, failed, ended },
  ],
  [
    'every sandbox ends, once',
    (state) => afterEnd(state, 'by-learner'),
    { starting: stopped, ready: stopped, rewinding: stopped, failed: stopped, ended },
  ],
])('%s', (_, transition, expected) => {
  for (const [name, state] of Object.entries(states)) {
    const next = transition(state);
    expect(next).toEqual(expected[state.is]);
    // A transition that a state does not have gives the same object: nothing is told again.
    if (expected[state.is] === state && name !== 'starting') expect(next).toBe(state);
  }
});

test('only a pair that runs can be had, and only a failure has an error', () => {
  expect(Object.values(states).map(pairOf)).toEqual([undefined, 'pair', 'pair', undefined, undefined]);
  expect(Object.values(states).map(phaseOf)).toEqual(['cloning', 'ready', 'rewinding', 'failed', 'ended']);
  expect(statusOf(failed, 12)).toEqual({ phase: 'failed', elapsedMs: 12, error });
  expect(statusOf(loggingIn, 12)).toEqual({ phase: 'logging-in', elapsedMs: 12 });
});
