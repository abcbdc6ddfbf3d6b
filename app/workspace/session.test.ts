import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Lesson } from '../../server/lessons/lesson';
import { LabError } from '../../server/protocol/errors';
import {
  clientMessageSchema,
  type ClientMessage,
  type LabInfo,
  type QueuePlace,
  type ServerMessage,
  type SessionInfo,
  type SessionReply,
} from '../../server/protocol/messages';
import type { SocketHandlers } from './connection';
import { LabSession, queuePollMs, type Api } from './session';

const step = (id: string, title: string): Lesson['steps'][number] => ({
  id,
  title,
  line: 1,
  runs: [],
  checks: [],
  solves: [],
});
const lesson: Lesson = {
  id: 'demo',
  title: 'Demo',
  summary: '',
  minutes: 1,
  part: 1,
  order: 1,
  outcomes: [],
  'builds-on': [],
  sources: [],
  slides: {},
  steps: [step('start', 'Start it'), step('move', 'Move it')],
  values: [],
  setups: [],
};
const lab: LabInfo = { accelerator: 'kvm', acceleratorReason: '', versions: {} };
const info = (id: string, lessonId = 'demo'): SessionInfo => ({
  id,
  lessonId,
  accelerator: 'kvm',
  createdAtMs: 0,
  endsAtMs: 1_000_000,
  extensionsLeft: 2,
});
const pair = (id: string, lessonId = 'demo'): SessionReply => ({ session: info(id, lessonId), queue: null });
const queued = (place: number): SessionReply & { queue: QueuePlace } => ({
  session: null,
  queue: { lessonId: 'demo', place, estimateMs: 60_000 },
});
const nothing: SessionReply = { session: null, queue: null };
const passed = { state: 'passed' as const, message: 'It runs.', checkedAtMs: 1 };
const open = { state: 'open' as const, message: '', checkedAtMs: null };

type Hello = Extract<ServerMessage, { type: 'hello' }>;
const hello = (id: string, more: Partial<Hello> = {}): Hello => ({
  type: 'hello',
  session: info(id),
  pair: { phase: 'ready', elapsedMs: 0 },
  terminals: [{ id: 'source', host: 'source', channel: 0 }],
  steps: {},
  values: {},
  ran: [],
  deadline: { endsAtMs: 1_000_000, extensionsLeft: 2, idleEndsAtMs: null },
  saves: [],
  ...more,
});

/** A server that answers what the test says, and the sockets that were opened to it. */
class FakeServer implements Api {
  /** What the next GET answers. */
  now: SessionReply | LabError = nothing;
  /** What the next POST, of whatever kind, answers. */
  next: SessionReply | LabError = nothing;
  readonly asked: string[] = [];
  readonly sockets: { handlers: SocketHandlers; sent: ClientMessage[]; closed: boolean }[] = [];

  getLab = (): Promise<LabInfo> => Promise.resolve(lab);
  getSession = (): Promise<SessionReply> => this.#answer('GET', this.now);
  postSession = (): Promise<SessionReply> => this.#answer('POST', this.next);
  resetSession = (): Promise<SessionReply> => this.#answer('reset', this.next);
  extendSession = (): Promise<SessionReply> => this.#answer('extend', this.next);
  deleteSession = (): Promise<void> => {
    this.asked.push('DELETE');
    return Promise.resolve();
  };
  openSocket: Api['openSocket'] = (handlers) => {
    const socket = { handlers, sent: [] as ClientMessage[], closed: false };
    this.sockets.push(socket);
    return Promise.resolve({
      send: (data) => {
        if (typeof data === 'string') socket.sent.push(JSON.parse(data) as ClientMessage);
      },
      close: () => {
        socket.closed = true;
      },
    });
  };

  say(message: ServerMessage, socket = this.sockets.at(-1)): void {
    socket?.handlers.onMessage(JSON.stringify(message));
  }
  get sent(): ClientMessage[] {
    return this.sockets.at(-1)?.sent ?? [];
  }

  async #answer(what: string, answer: SessionReply | LabError): Promise<SessionReply> {
    this.asked.push(what);
    await Promise.resolve();
    if (answer instanceof LabError) throw answer;
    return answer;
  }
}

let server: FakeServer;
let session: LabSession;
let phases: string[];
let announced: string[];

/** Lets the page ask for its place once more. */
const poll = (): Promise<unknown> => vi.advanceTimersByTimeAsync(queuePollMs);

/** A page whose pair is there. */
async function ready(more: Partial<Hello> = {}): Promise<void> {
  server.now = pair('s1');
  await session.load();
  await vi.advanceTimersByTimeAsync(0);
  server.say(hello('s1', more));
}

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  session = new LabSession(lesson, server, (ms, callback) => {
    const timer = setInterval(callback, ms);
    return () => {
      clearInterval(timer);
    };
  });
  phases = [];
  announced = [];
  session.subscribe(() => {
    const { phase, announcement } = session.getState();
    if (phases.at(-1) !== phase) phases.push(phase);
    if (announced.at(-1) !== announcement) announced.push(announcement);
  });
});

afterEach(() => {
  session.close();
  vi.useRealTimers();
});

describe('the queue', () => {
  it('is waited in until the pair comes, which is then connected to', async () => {
    server.next = queued(2);
    await session.start();
    expect(session.getState()).toMatchObject({ phase: 'queued', queue: { place: 2 } });
    server.now = queued(1);
    await poll();
    expect(session.getState().queue?.place).toBe(1);
    server.now = pair('s1');
    await poll();
    expect(session.getState()).toMatchObject({ phase: 'cloning', queue: null, called: true });
    expect(server.sockets).toHaveLength(1);
    server.say(hello('s1'));
    expect(session.getState().phase).toBe('ready');
    const asked = server.asked.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.asked).toHaveLength(asked);
    session.seen();
    expect(session.getState().called).toBe(false);
  });

  it('says a place once, not at every question', async () => {
    server.next = queued(2);
    server.now = queued(2);
    await session.start();
    await poll();
    await poll();
    server.now = queued(1);
    await poll();
    await poll();
    expect(announced.filter((text) => text.includes('queue'))).toEqual([
      'You are number 2 in the queue.',
      'You are number 1 in the queue.',
    ]);
  });

  it('is found again by a reload', async () => {
    server.now = queued(3);
    await session.load();
    expect(session.getState()).toMatchObject({ phase: 'queued', queue: { place: 3 } });
    server.now = queued(2);
    await poll();
    expect(session.getState().queue?.place).toBe(2);
  });

  it('is left at once and for good, whatever is still on its way', async () => {
    server.next = queued(1);
    await session.start();
    server.now = pair('s1');
    session.wake();
    await session.leaveQueue();
    await poll();
    expect(server.asked.filter((what) => what === 'DELETE')).toHaveLength(1);
    expect(session.getState()).toMatchObject({ phase: 'none', queue: null });
    expect(server.sockets).toEqual([]);
  });

  it('outlasts a server that does not answer, and says when the place is gone', async () => {
    server.next = queued(1);
    await session.start();
    server.now = new LabError('lost', 'No server.');
    await poll();
    expect(session.getState()).toMatchObject({ phase: 'queued', problem: { code: 'lost' } });
    server.now = queued(1);
    await poll();
    expect(session.getState()).toMatchObject({ phase: 'queued', problem: null });
    server.now = nothing;
    await poll();
    expect(session.getState()).toMatchObject({ phase: 'none', queue: null });
    expect(session.getState().problem?.message).toContain('gone');
  });

  it('leads to another lesson when that one asked', async () => {
    server.now = queued(1);
    await session.load();
    server.now = pair('s1', 'other');
    await poll();
    expect(session.getState()).toMatchObject({ phase: 'none', otherSession: { lessonId: 'other' } });
    expect(server.sockets).toEqual([]);
  });

  it.each(['no-capacity', 'too-many-sessions', 'cannot-run'] as const)('%s is said at once', async (code) => {
    server.next = new LabError(code, 'No.', { hint: 'Later.' });
    await session.start();
    expect(session.getState()).toMatchObject({
      phase: 'none',
      problem: { code, message: 'No.', hint: 'Later.' },
    });
  });
});

describe('the end', () => {
  it('is as the last message says', async () => {
    await ready();
    const deadline = { endsAtMs: 500_000, extensionsLeft: 1, idleEndsAtMs: 400_000 };
    server.say({ type: 'deadline', deadline });
    expect(session.getState().deadline).toEqual(deadline);
    session.here();
    expect(server.sent.at(-1)).toEqual({ type: 'here' });
    server.say({ type: 'deadline', deadline: { ...deadline, idleEndsAtMs: null } });
    expect(announced.at(-1)).toBe('Your hosts stay.');
  });

  it('is put off once for a double click', async () => {
    await ready();
    server.next = { session: { ...info('s1'), endsAtMs: 2_000_000, extensionsLeft: 1 }, queue: null };
    await Promise.all([session.extend(), session.extend()]);
    expect(server.asked.filter((what) => what === 'extend')).toHaveLength(1);
    expect(session.getState()).toMatchObject({
      extending: false,
      deadline: { endsAtMs: 2_000_000, extensionsLeft: 1, idleEndsAtMs: null },
    });
    expect(announced.at(-1)).toMatch(/^Your hosts now end at /);
  });

  it.each(['idle', 'disconnected', 'total-time', 'host-lost'] as const)('of %s is told', async (reason) => {
    await ready({ saves: [{ stepId: 'move', savedAtMs: 1 }] });
    server.say({ type: 'ended', reason });
    expect(session.getState()).toMatchObject({
      phase: 'ended',
      endReason: reason,
      deadline: null,
      saves: [],
    });
  });
});

describe('fresh hosts', () => {
  it('are connected to, and nothing is left of the old ones', async () => {
    await ready({ steps: { start: passed }, ran: ['start/0'], values: { address: '10.88.0.2' } });
    const old = server.sockets[0];
    server.next = pair('s2');
    const reset = session.reset();
    server.say({ type: 'ended', reason: 'reset' }, old);
    await reset;
    await vi.advanceTimersByTimeAsync(0);
    server.say({ type: 'ended', reason: 'reset' }, old);
    expect(old?.closed).toBe(true);
    server.say(hello('s2'));
    expect(session.getState()).toMatchObject({
      phase: 'ready',
      steps: {},
      runs: {},
      values: {},
      session: { id: 's2' },
    });
    expect(phases).not.toContain('ended');
    expect(server.asked).toEqual(['GET', 'reset']);
  });

  it('may have to be queued for', async () => {
    await ready();
    server.next = queued(4);
    await session.reset();
    expect(session.getState()).toMatchObject({ phase: 'queued', queue: { place: 4 }, session: null });
  });

  it('that do not come leave the old ones, and say why', async () => {
    await ready();
    server.next = new LabError('no-capacity', 'All pairs are taken.');
    await session.reset();
    await vi.advanceTimersByTimeAsync(0);
    server.say(hello('s1'));
    expect(session.getState()).toMatchObject({
      phase: 'ready',
      session: { id: 's1' },
      problem: { code: 'no-capacity' },
    });
  });

  it('that another tab asked for are followed', async () => {
    await ready();
    server.now = pair('s2');
    server.say({ type: 'ended', reason: 'reset' });
    await vi.advanceTimersByTimeAsync(0);
    server.say(hello('s2'));
    expect(session.getState()).toMatchObject({ phase: 'ready', session: { id: 's2' } });
    expect(phases).not.toContain('ended');
  });
});

describe('going back', () => {
  it('replaces steps, values and commands', async () => {
    await ready({
      steps: { start: passed, move: passed },
      values: { address: '10.88.0.2', other: 'x' },
      ran: ['start/0', 'move/0'],
      saves: [{ stepId: 'move', savedAtMs: 1 }],
    });
    session.rewind('move');
    session.rewind('move');
    expect(server.sent.filter(({ type }) => type === 'rewind')).toEqual([{ type: 'rewind', stepId: 'move' }]);
    expect(session.getState().rewind).toEqual({ stepId: 'move', state: 'sent' });
    server.say({ type: 'pair', pair: { phase: 'rewinding', elapsedMs: 0 } });
    expect(session.getState()).toMatchObject({ phase: 'rewinding', rewind: { state: 'going' } });
    session.run('start', 0);
    expect(session.getState().runs['start/0']).toMatchObject({
      state: 'refused',
      error: { code: 'not-ready' },
    });
    server.say({
      type: 'rewound',
      stepId: 'move',
      steps: { start: passed, move: open },
      values: { address: '10.88.0.2' },
      ran: ['start/0'],
    });
    server.say({ type: 'pair', pair: { phase: 'ready', elapsedMs: 0 } });
    expect(session.getState()).toMatchObject({ phase: 'ready', rewind: null });
    expect(session.getState().steps['move']?.state).toBe('open');
    expect(session.getState().values).toEqual({ address: '10.88.0.2' });
    expect(session.getState().runs).toEqual({ 'start/0': { state: 'typed' } });
    expect(announced.at(-1)).toBe('Both hosts are as they were at the start of step 2, Move it.');
  });

  it('that is refused is told at its step, and other errors are not', async () => {
    await ready();
    session.rewind('move');
    const error = { code: 'no-saved-state' as const, message: 'There is no saved state of this step.' };
    server.say({ type: 'error', error });
    expect(session.getState()).toMatchObject({ phase: 'ready', problem: null });
    expect(session.getState().rewind).toEqual({ stepId: 'move', state: 'refused', error });
    server.sockets[0]?.handlers.onClose(1006);
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1'));
    expect(session.getState().rewind?.state).toBe('refused');
    server.say({ type: 'error', error: { code: 'internal', message: 'Something else.' } });
    expect(session.getState().problem?.code).toBe('internal');
  });

  it('is not asked for without a connection, nor later by surprise', async () => {
    await ready();
    server.sockets[0]?.handlers.onClose(1006);
    session.rewind('move');
    expect(session.getState().rewind).toMatchObject({ state: 'refused', error: { code: 'lost' } });
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1'));
    expect(server.sent).toEqual([]);
    expect(session.getState().rewind).toBeNull();
  });

  it('drops a command that waited for the connection', async () => {
    await ready();
    session.run('start', 0);
    server.say({ type: 'rewound', stepId: 'start', steps: {}, values: {}, ran: [] });
    server.sockets[0]?.handlers.onClose(1006);
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1'));
    expect(server.sent).toEqual([]);
  });

  it('that happened during a break is seen from the hello', async () => {
    await ready({ steps: { start: passed }, ran: ['start/0'] });
    server.sockets[0]?.handlers.onClose(1006);
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1', { steps: { start: open } }));
    expect(session.getState().runs).toEqual({});
    expect(session.getState().steps['start']?.state).toBe('open');
  });
});

it('a command is asked for over plain HTTP as well, where browsers have no randomUUID', async () => {
  vi.stubGlobal('crypto', { getRandomValues: <T extends Uint8Array>(bytes: T) => bytes.fill(0xff) });
  await ready();
  session.run('start', 0);
  vi.unstubAllGlobals();
  expect(clientMessageSchema.parse(server.sent.at(-1))).toMatchObject({ type: 'run', stepId: 'start' });
});

it('a pair that was lost makes room for a new one', async () => {
  await ready({ steps: { start: passed } });
  const error = { code: 'lost' as const, message: 'The source stopped.' };
  server.say({ type: 'pair', pair: { phase: 'failed', elapsedMs: 0, error } });
  expect(session.getState()).toMatchObject({ phase: 'failed', deadline: null, pair: { error } });
  expect(announced.at(-1)).toBe('The source stopped.');
  server.next = pair('s2');
  await session.start();
  await vi.advanceTimersByTimeAsync(0);
  server.say(hello('s2'));
  expect(server.asked).toEqual(['GET', 'DELETE', 'POST']);
  expect(session.getState()).toMatchObject({ phase: 'ready', steps: {}, session: { id: 's2' } });
});
