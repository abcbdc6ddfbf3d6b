import { describe, expect, test } from 'vitest';
import type { Lease } from '../store/leases';
import {
  hasNoSession,
  leaseOf,
  leaseOnDisk,
  oneLeaseEach,
  sandboxesOf,
  transition,
  type SessionEvent,
  type SessionState,
} from './session-state';

const lease = {
  id: 'session',
  sandboxId: null,
  ownerHash: 'owner',
  address: '192.0.2.1',
  lessonId: 'lesson',
  accelerator: 'tcg',
  createdAtMs: 1,
  endsAtMs: 2,
  extensionsLeft: 3,
  grant: null,
} as const satisfies Lease;
const held = { ...lease, sandboxId: 'old' };

const states = {
  none: { phase: 'none' },
  queued: { phase: 'queued' },
  creating: { phase: 'creating', lease, next: null },
  'creating with a sandbox': { phase: 'creating', lease, next: 'new' },
  active: { phase: 'active', lease: held },
  replacing: { phase: 'replacing', lease: held, next: null },
  'replacing, vacated': { phase: 'replacing', lease, next: null },
  'replacing with a sandbox': { phase: 'replacing', lease: held, next: 'new' },
  'replacing, vacated, with a sandbox': { phase: 'replacing', lease, next: 'new' },
  ended: { phase: 'ended', why: 'It was time.' },
} as const satisfies Record<string, SessionState>;
type Name = keyof typeof states;

const change = { endsAtMs: 9 };
const events = {
  join: { type: 'join' },
  'leave-queue': { type: 'leave-queue' },
  begin: { type: 'begin', lease },
  adopt: { type: 'adopt', lease: held },
  replace: { type: 'replace' },
  vacate: { type: 'vacate' },
  take: { type: 'take', sandboxId: 'new' },
  assigned: { type: 'assigned' },
  failed: { type: 'failed', why: 'It was time.' },
  amend: { type: 'amend', change },
  end: { type: 'end', why: 'It was time.' },
} as const satisfies Record<SessionEvent['type'], SessionEvent>;

const anew = { phase: 'active', lease: { ...lease, sandboxId: 'new' } } as const;
const amended = (name: Name) => {
  const state: SessionState = states[name];
  return ('lease' in state ? { ...state, lease: { ...state.lease, ...change } } : state) as SessionState;
};

/** All that may follow; whatever is not here may not. */
const following: Record<Name, Partial<Record<SessionEvent['type'], Name | SessionState>>> = {
  none: { join: 'queued', begin: 'creating', adopt: 'active' },
  queued: { join: 'queued', 'leave-queue': 'none', begin: 'creating' },
  creating: { take: 'creating with a sandbox', failed: 'ended' },
  'creating with a sandbox': { assigned: anew, failed: 'ended' },
  active: { replace: 'replacing', amend: amended('active'), end: 'ended' },
  replacing: {
    vacate: 'replacing, vacated',
    take: 'replacing with a sandbox',
    failed: 'active',
    amend: amended('replacing'),
  },
  'replacing, vacated': {
    vacate: 'replacing, vacated',
    take: 'replacing, vacated, with a sandbox',
    failed: 'ended',
    amend: amended('replacing, vacated'),
  },
  'replacing with a sandbox': {
    vacate: 'replacing, vacated, with a sandbox',
    assigned: anew,
    failed: 'active',
    amend: amended('replacing with a sandbox'),
  },
  'replacing, vacated, with a sandbox': {
    vacate: 'replacing, vacated, with a sandbox',
    assigned: anew,
    failed: 'ended',
    amend: amended('replacing, vacated, with a sandbox'),
  },
  ended: { join: 'queued', begin: 'creating' },
};

describe.each(Object.keys(states) as Name[])('%s', (name) => {
  test.each(Object.keys(events) as SessionEvent['type'][])('and then %s', (type) => {
    const next = following[name][type];
    const follow = () => transition(states[name], events[type]);
    if (next === undefined) expect(follow).toThrow(`${type} cannot follow the state ${states[name].phase}`);
    else expect(follow()).toEqual(typeof next === 'string' ? states[next] : next);
  });
});

test('a session that had no sandbox when it was adopted gets another one', () => {
  expect(transition(states.none, { type: 'adopt', lease })).toEqual(states['replacing, vacated']);
});

test.each<[Name, onDisk: string | null | undefined, sandboxes: string[], isUsable: boolean]>([
  ['none', undefined, [], false],
  ['queued', undefined, [], false],
  ['creating', undefined, [], false],
  ['creating with a sandbox', 'new', ['new'], false],
  ['active', 'old', ['old'], true],
  ['replacing', 'old', ['old'], true],
  ['replacing, vacated', null, [], true],
  ['replacing with a sandbox', 'new', ['old', 'new'], true],
  ['replacing, vacated, with a sandbox', 'new', ['new'], true],
  ['ended', undefined, [], false],
])('%s: on disk is the sandbox %s, and there are %j', (name, onDisk, sandboxes, isUsable) => {
  expect(leaseOnDisk(states[name])?.sandboxId).toBe(onDisk);
  expect(sandboxesOf(states[name])).toEqual(sandboxes);
  expect(leaseOf(states[name]) !== undefined).toBe(isUsable);
  expect(hasNoSession(states[name])).toBe(['none', 'queued', 'ended'].includes(name));
});

describe('oneLeaseEach', () => {
  const first = { ...held, id: '1', sandboxId: 'a' };
  const second = { ...held, id: '2', sandboxId: 'b' };
  const others = { ...held, id: '3', sandboxId: 'c', ownerHash: 'other' };

  test('keeps the leases of different learners', () => {
    const { kept, surplus } = oneLeaseEach([first, others], new Set(['a']));
    expect(kept).toEqual([first, others]);
    expect(surplus).toEqual([]);
  });

  test.each([
    [['a', 'b'], second, first],
    [['a'], first, second],
    [['b'], second, first],
    [[], second, first],
  ])('of two leases of one learner, when %j run, keeps the one that runs', (running, kept, surplus) => {
    expect(oneLeaseEach([first, second], new Set(running))).toEqual({ kept: [kept], surplus: [surplus] });
  });
});
