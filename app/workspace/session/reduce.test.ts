import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { serverMessageSchema, type ServerMessage } from '../../../server/protocol/messages';
import type { PairPhase } from '../../../server/protocol/session';
import { firstLayout } from '../panes/pane-layout';
import { reduce } from './reduce';
import { hasPair, isOwner, shownPhase, stepsOf, terminalsOf } from './selectors';
import { initialState, type SessionEvent, type SessionState } from './session-state';

const atMs = 1_000;
const runId = '7f3d0f5c-9c9e-4a39-8f0a-6a1d2b3c4d5e';
const problem = { code: 'lost' as const, message: 'No connection.' };
const session = {
  id: 's1',
  lessonId: 'demo',
  accelerator: 'kvm' as const,
  createdAtMs: 0,
  endsAtMs: 9_000,
  extensionsLeft: 1,
};
const deadline = { endsAtMs: 9_000, extensionsLeft: 1, idleEndsAtMs: null };
const source = { id: 'source', host: 'source' as const, channel: 1, name: 'source' };
const second = { id: 'source-2', host: 'source' as const, channel: 3, name: 'second' };
const destination = { id: 'destination', host: 'destination' as const, channel: 2, name: 'destination' };
const hello = (phase: PairPhase = 'ready', sandboxId = 'a'): ServerMessage => ({
  type: 'hello',
  session,
  sandboxId,
  role: 'owner',
  pair: { phase, elapsedMs: 5 },
  terminals: [source, destination],
  steps: {},
  values: {},
  runs: [],
  deadline,
  saves: [],
});
const block = { stepId: 'start', block: 0 };
const run = { runId, ...block, terminal: 'source' };
const open = { state: 'open' as const, message: '', checkedAtMs: null };

/** Every message of the protocol; the compiler ensures that none is missing. */
const messages: { [T in ServerMessage['type']]: Extract<ServerMessage, { type: T }>[] } = {
  hello: (['ready', 'failed', 'ended', 'cloning'] as const).flatMap((phase) =>
    ['a', 'b'].map((sandboxId) => hello(phase, sandboxId) as Extract<ServerMessage, { type: 'hello' }>),
  ),
  pair: (['resuming', 'ready', 'rewinding', 'failed', 'ended'] as const).map((phase) => ({
    type: 'pair',
    pair: { phase, elapsedMs: 5 },
  })),
  step: [{ type: 'step', stepId: 'start', step: open }],
  values: [{ type: 'values', values: { address: '10.88.0.2' } }],
  run: (
    [
      { state: 'typed' },
      { state: 'running', elapsedMs: 5 },
      { state: 'done', exitCode: 0, durationMs: 5 },
    ] as const
  ).map((command) => ({ type: 'run', run: { ...run, command } })),
  'run-refused': [
    { type: 'run-refused', ...run, error: problem, busy: 'program' },
    { type: 'run-refused', ...run, error: problem },
  ],
  terminals: [
    { type: 'terminals', terminals: [source, destination, second], requestId: runId },
    { type: 'terminals', terminals: [source, destination] },
  ],
  attached: [
    { type: 'attached', terminal: 'source', offset: 0, screen: false, inputOffset: 0, columns: 80, rows: 24 },
  ],
  screen: [
    {
      type: 'screen',
      terminal: 'source-2',
      offset: 0,
      columns: 80,
      rows: 24,
      bytes: 0,
      commands: [
        { command: 1, promptLine: 0, outputLine: 1, endLine: null, exitCode: null, durationMs: null },
      ],
    },
  ],
  size: [{ type: 'size', terminal: 'source', columns: 80, rows: 24, active: true }],
  mark: [
    { type: 'mark', terminal: 'source-2', offset: 0, mark: { kind: 'prompt' } },
    { type: 'mark', terminal: 'source-2', offset: 0, mark: { kind: 'start', command: 1, atMs: 0 } },
    {
      type: 'mark',
      terminal: 'source',
      offset: 0,
      mark: { kind: 'end', command: 1, exitCode: 0, durationMs: 1 },
    },
  ],
  'input-ack': [{ type: 'input-ack', terminal: 'source', offset: 1 }],
  pong: [{ type: 'pong' }],
  prompt: ['source', 'source-2', 'never'].map((terminal) => ({ type: 'prompt', terminal, idle: true })),
  deadline: [{ type: 'deadline', deadline }],
  saves: [{ type: 'saves', saves: [{ stepId: 'start', savedAtMs: 1 }] }],
  rewound: [{ type: 'rewound', stepId: 'start', steps: {}, values: {}, runs: [] }],
  ended: [
    { type: 'ended', reason: 'idle' },
    { type: 'ended', reason: 'reset' },
  ],
  error: [{ type: 'error', error: problem }],
};
const message = (one: ServerMessage): SessionEvent => ({ type: 'message', message: one, atMs });

const queue = { lessonId: 'demo', position: 2, estimateMs: null };
const reply = (more: object): Extract<SessionEvent, { type: 'reply' }> => ({
  type: 'reply',
  reply: { session: null, queue: null, ...more },
  lessonId: 'demo',
  atMs,
});

/** Every event except messages; the compiler ensures that none is missing. */
const events: { [T in Exclude<SessionEvent['type'], 'message'>]: Extract<SessionEvent, { type: T }>[] } = {
  line: (['open', 'connecting', 'closed'] as const).map((state) => ({ type: 'line', state, atMs })),
  'line-silent': [null, atMs].map((sinceMs) => ({ type: 'line-silent', sinceMs })),
  'line-failed': (['no-session', 'forbidden', 'bad-message'] as const).map((code) => ({
    type: 'line-failed',
    problem: { code, message: '' },
  })),
  lab: [{ type: 'lab', lab: { accelerator: 'kvm', acceleratorReason: '', versions: {} } }],
  reply: [
    reply({}),
    reply({ queue }),
    reply({ session }),
    reply({ session: { ...session, lessonId: 'other' } }),
  ],
  'request-failed': [{ type: 'request-failed', problem }],
  'session-exists': [{ type: 'session-exists', otherSession: session, problem }],
  'other-session-deleted': [{ type: 'other-session-deleted' }],
  'session-deleted': [{ type: 'session-deleted' }],
  extended: [{ type: 'extended', session }],
  'extend-answered': [{ type: 'extend-answered' }],
  grant: [{ type: 'grant', grant: 'a-grant' }],
  'recording-saved': [{ type: 'recording-saved', name: 'x.cast' }],
  watch: [{ type: 'watch', atMs }],
  start: [{ type: 'start', atMs }],
  reset: [{ type: 'reset', atMs }],
  'leave-queue': [{ type: 'leave-queue' }],
  'turn-seen': [{ type: 'turn-seen' }],
  extend: [{ type: 'extend' }],
  check: [{ type: 'check', stepId: 'start' }],
  'rewind-sent': [{ type: 'rewind-sent', stepId: 'start' }],
  'rewind-refused': [{ type: 'rewind-refused', stepId: 'start', problem }],
  'run-sent': [{ type: 'run-sent', ...block, runId }],
  'run-refused': [{ type: 'run-refused', ...block, problem }],
  'question-answered': [{ type: 'question-answered' }],
  layout: [{ type: 'layout', layout: { ...firstLayout, hosts: 'beside' } }],
  undelivered: [
    { type: 'undelivered', terminal: 'source-2', input: { kind: 'too-much' } },
    { type: 'undelivered', terminal: 'source', input: null },
  ],
  problem: [{ type: 'problem', problem: null }],
  announce: [{ type: 'announce', text: 'Here.' }],
};

const everyEvent: SessionEvent[] = [
  ...Object.values(messages).flatMap((all) => all.map(message)),
  ...Object.values(events).flat(),
];

/** The state after some events, from the start of the page. */
const after = (...some: SessionEvent[]): SessionState => some.reduce(reduce, initialState);

const joining = [reply({ session })];
const active = [...joining, events.line[0], message(hello())].filter((one) => one !== undefined);
const samples: Record<SessionState['phase'], SessionState> = {
  loading: initialState,
  none: after(reply({})),
  requesting: after(reply({}), { type: 'start', atMs }),
  queued: after(reply({ queue })),
  joining: after(...joining),
  active: after(...active),
  failed: after(
    ...active,
    message({ type: 'pair', pair: { phase: 'failed', elapsedMs: 1, error: problem } }),
  ),
  ended: after(...active, message({ type: 'ended', reason: 'idle' })),
};

const sharedFields = ['phase', 'runs', 'lab', 'role', 'layout', 'problem', 'announcement'];
const joinedFields = [
  ...['session', 'sandboxId', 'line', 'steps', 'values'],
  ...['terminals', 'atPrompt', 'lastCommand', 'undelivered', 'opened'],
];
const fields: Record<SessionState['phase'], readonly string[]> = {
  loading: [],
  none: ['otherSession'],
  requesting: ['otherSession', 'requestedBy', 'sinceMs'],
  queued: ['queue'],
  joining: ['session', 'line', 'sinceMs', 'turnUnseen'],
  active: [
    ...joinedFields,
    ...['pair', 'turnUnseen', 'deadline', 'extending', 'saves', 'rewind', 'checking', 'question', 'grant'],
  ],
  failed: [...joinedFields, 'failure'],
  ended: ['steps', 'values', 'reason'],
};

/** Checks what the types cannot express, and fields that a careless spread would carry into another phase. */
function expectPossible(state: SessionState): void {
  expect(Object.keys(state).toSorted()).toEqual([...sharedFields, ...fields[state.phase]].toSorted());
  const runs = Object.values(state.runs);
  if (!('steps' in state)) expect(runs.every((one) => one.state === 'refused')).toBe(true);
  if (state.phase === 'ended' || state.phase === 'failed') {
    expect(runs.some((one) => one.state === 'sent')).toBe(false);
    expect(runs.some((one) => one.state === 'typed' && one.command?.state === 'running')).toBe(false);
  }
  const ids = terminalsOf(state).map(({ id }) => id);
  if (state.phase === 'active' || state.phase === 'failed') {
    for (const byTerminal of [state.atPrompt, state.lastCommand, state.undelivered])
      expect(ids).toEqual(expect.arrayContaining(Object.keys(byTerminal)));
    for (const { shown } of Object.values(state.layout.hostLayouts))
      expect(ids).toEqual(expect.arrayContaining(shown));
  }
  // Every component uses these selectors, so they must work in every state.
  expect([hasPair(state), isOwner(state)].every((answer) => typeof answer === 'boolean')).toBe(true);
  expect([shownPhase(state), stepsOf(state)]).toHaveLength(2);
}

test('the sample messages match the protocol', () => {
  for (const one of Object.values(messages).flat())
    expect(serverMessageSchema.safeParse(one).success).toBe(true);
});

test('the samples are in their phases', () => {
  for (const [phase, state] of Object.entries(samples)) expect(state.phase).toBe(phase);
});

test('each event in each phase leads to a possible state', () => {
  for (const state of Object.values(samples))
    for (const event of everyEvent) expectPossible(reduce(state, event));
});

test('no sequence of events throws or leads to an impossible state', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(samples)),
      fc.array(fc.constantFrom(...everyEvent), { maxLength: 30 }),
      (start, sequence) => {
        let state = start;
        for (const event of sequence) {
          const before = JSON.stringify(state);
          const next = reduce(state, event);
          expect(JSON.stringify(state)).toBe(before);
          expectPossible(next);
          state = next;
        }
      },
    ),
    { numRuns: 500 },
  );
});

describe('the server’s messages change the phase', () => {
  test.each<[from: SessionState['phase'], message: ServerMessage, to: SessionState['phase']]>([
    ['joining', hello(), 'active'],
    ['joining', hello('failed'), 'failed'],
    ['joining', hello('ended'), 'joining'],
    ['joining', { type: 'ended', reason: 'idle' }, 'ended'],
    ['active', hello('rewinding'), 'active'],
    ['active', { type: 'pair', pair: { phase: 'failed', elapsedMs: 1 } }, 'failed'],
    // The `ended` message follows and says why.
    ['active', { type: 'pair', pair: { phase: 'ended', elapsedMs: 1 } }, 'active'],
    ['active', { type: 'ended', reason: 'total-time' }, 'ended'],
    ['active', { type: 'ended', reason: 'reset' }, 'requesting'],
    ['failed', hello('ready', 'b'), 'active'],
    ['failed', { type: 'pair', pair: { phase: 'ready', elapsedMs: 1 } }, 'failed'],
    ['failed', { type: 'ended', reason: 'host-lost' }, 'ended'],
    ['ended', hello(), 'ended'],
    ['none', hello(), 'none'],
    ['queued', { type: 'ended', reason: 'idle' }, 'queued'],
  ])('%s, on $type', (from, one, to) => {
    expect(reduce(samples[from], message(one)).phase).toBe(to);
  });
});

describe('answers to requests change the phase', () => {
  const other = reply({ session: { ...session, lessonId: 'other' } });
  test.each<[from: SessionState['phase'], event: SessionEvent, to: SessionState['phase']]>([
    ['loading', reply({}), 'none'],
    ['loading', reply({ queue }), 'queued'],
    ['loading', reply({ session }), 'joining'],
    ['loading', other, 'none'],
    ['loading', { type: 'request-failed', problem }, 'none'],
    ['requesting', { type: 'session-exists', otherSession: session, problem }, 'none'],
    ['queued', reply({ session }), 'joining'],
    ['queued', reply({}), 'none'],
    ['queued', { type: 'request-failed', problem }, 'queued'],
    ['active', reply({ session }), 'active'],
    ['active', { type: 'session-deleted' }, 'ended'],
    ['active', { type: 'line-failed', problem: { code: 'no-session', message: '' } }, 'ended'],
    ['active', { type: 'line-failed', problem }, 'active'],
    ['ended', { type: 'start', atMs }, 'requesting'],
    ['failed', { type: 'start', atMs }, 'requesting'],
  ])('%s, on $type', (from, event, to) => {
    expect(reduce(samples[from], event).phase).toBe(to);
  });
});
