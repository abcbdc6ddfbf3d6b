import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Lesson } from '../../../server/lessons/lesson';
import { LabError } from '../../../server/protocol/errors';
import type { Busy, RunReport, ShellMark, TerminalInfo } from '../../../server/protocol/terminal';
import type { SessionInfo } from '../../../server/protocol/session';
import type { LabInfo, QueuePosition, SessionReply } from '../../../server/protocol/http';
import {
  clientMessageSchema,
  type ClientMessage,
  type ServerMessage,
} from '../../../server/protocol/messages';
import type { SocketHandlers } from '../../../server/client/socket';
import type { Layout } from '../panes/pane-layout';
import { queuePollMs } from './queue-poll';
import * as selectors from './selectors';
import { LabSession, type Gateway } from './session';
import type { StateIn } from './session-state';

const run = { host: 'source', text: 'true', line: 2, terminal: 1, exit: 0, background: false } as const;
const step = (id: string, title: string): Lesson['steps'][number] => ({
  id,
  title,
  line: 1,
  runs: [run],
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
  cpus: {},
  steps: [step('start', 'Start it'), step('move', 'Move it')],
  values: [],
  setups: [],
  files: [],
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
const queued = (position: number): SessionReply & { queue: QueuePosition } => ({
  session: null,
  queue: { lessonId: 'demo', position, estimateMs: 60_000 },
});
const nothing: SessionReply = { session: null, queue: null };
const passed = { state: 'passed' as const, message: 'It runs.', checkedAtMs: 1 };
const open = { state: 'open' as const, message: '', checkedAtMs: null };

const terminalInfo = (id: string): TerminalInfo => ({
  id,
  host: id.startsWith('source') ? 'source' : 'destination',
  channel: id.length,
  name: id,
});
const report = (stepId: string, command: RunReport['command'] = { state: 'typed' }): RunReport => ({
  runId: '7f3d0f5c-9c9e-4a39-8f0a-6a1d2b3c4d5e',
  stepId,
  block: 0,
  terminal: 'source',
  command,
});
type Hello = Extract<ServerMessage, { type: 'hello' }>;
const hello = (id: string, more: Partial<Hello> = {}): Hello => ({
  type: 'hello',
  session: info(id),
  sandboxId: `sandbox-of-${id}`,
  role: 'owner',
  pair: { phase: 'ready', elapsedMs: 0 },
  terminals: [terminalInfo('source'), terminalInfo('destination')],
  steps: {},
  values: {},
  runs: [],
  deadline: { endsAtMs: 1_000_000, extensionsLeft: 2, idleEndsAtMs: null },
  saves: [],
  ...more,
});

/** A server with the answers that a test sets, and with its open sockets. */
class FakeServer implements Gateway {
  /** The answer to the next GET. */
  now: SessionReply | LabError = nothing;
  /** The answer to the next POST. */
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
  offerHandover = (): Promise<string> => Promise.resolve('a-key');
  grantView = (): Promise<string> => Promise.resolve('a-grant');
  revokeView = (): Promise<void> => Promise.resolve();
  getCast = (terminal: string): Promise<{ name: string; content: Blob }> =>
    terminal === 'gone'
      ? Promise.reject(new LabError('bad-message', 'There is no terminal gone.'))
      : Promise.resolve({ name: `x-${terminal}.cast`, content: new Blob(['{}']) });
  openSocket: Gateway['openSocket'] = (handlers) => {
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
/** The layout in the browser's storage. */
let keptLayout: Layout | undefined;
const layouts = {
  load: () => keptLayout,
  save: (layout: Layout) => {
    keptLayout = layout;
  },
};
/** A selector's value, as a component sees it. */
const see = <T>(select: (state: ReturnType<LabSession['getState']>) => T): T => select(session.getState());
/** The state while there is a pair. */
function active(): StateIn<'active'> {
  const state = session.getState();
  if (state.phase !== 'active') throw new Error(`The phase is ${state.phase}.`);
  return state;
}
let phases: string[];
let announced: string[];

/** Lets the page poll the queue once. */
const poll = (): Promise<unknown> => vi.advanceTimersByTimeAsync(queuePollMs);

/** Loads a page whose pair is ready. */
async function ready(more: Partial<Hello> = {}): Promise<void> {
  server.now = pair('s1');
  await session.load();
  await vi.advanceTimersByTimeAsync(0);
  server.say(hello('s1', more));
}

const sessionOf = (of: Lesson): LabSession =>
  new LabSession(
    of,
    server,
    (ms, callback) => {
      const timer = setInterval(callback, ms);
      return () => {
        clearInterval(timer);
      };
    },
    layouts,
  );

beforeEach(() => {
  vi.useFakeTimers();
  keptLayout = undefined;
  server = new FakeServer();
  session = sessionOf(lesson);
  phases = [];
  announced = [];
  session.subscribe(() => {
    const phase = selectors.shownPhase(session.getState());
    const { announcement } = session.getState();
    if (phases.at(-1) !== phase) phases.push(phase);
    if (announced.at(-1) !== announcement) announced.push(announcement);
  });
});

afterEach(() => {
  session.close();
  vi.useRealTimers();
});

describe('the queue', () => {
  test('ends with a pair, to which the page connects', async () => {
    server.next = queued(2);
    await session.start();
    expect(session.getState()).toMatchObject({ phase: 'queued', queue: { position: 2 } });
    server.now = queued(1);
    await poll();
    expect(see(selectors.queueOf)?.position).toBe(1);
    server.now = pair('s1');
    await poll();
    expect(session.getState()).toMatchObject({ phase: 'joining', turnUnseen: true });
    expect(server.sockets).toHaveLength(1);
    server.say(hello('s1'));
    expect(see(selectors.isReady)).toBe(true);
    const asked = server.asked.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.asked).toHaveLength(asked);
    expect(see(selectors.isTurnUnseen)).toBe(true);
    session.acknowledgeTurn();
    expect(see(selectors.isTurnUnseen)).toBe(false);
  });

  test('announces a position once, not at every poll', async () => {
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

  test('survives a reload', async () => {
    server.now = queued(3);
    await session.load();
    expect(session.getState()).toMatchObject({ phase: 'queued', queue: { position: 3 } });
    server.now = queued(2);
    await poll();
    expect(see(selectors.queueOf)?.position).toBe(2);
  });

  test('is left at once and for good, even with a poll in flight', async () => {
    server.next = queued(1);
    await session.start();
    server.now = pair('s1');
    session.resume();
    await session.leaveQueue();
    await poll();
    expect(server.asked.filter((what) => what === 'DELETE')).toHaveLength(1);
    expect(session.getState()).toMatchObject({ phase: 'none' });
    expect(server.sockets).toEqual([]);
  });

  test('survives a server that does not answer, and says when the position is lost', async () => {
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
    expect(session.getState()).toMatchObject({ phase: 'none' });
    expect(session.getState().problem?.message).toBe('You have lost your position in the queue.');
  });

  test('may be for another lesson', async () => {
    server.now = queued(1);
    await session.load();
    server.now = pair('s1', 'other');
    await poll();
    expect(session.getState()).toMatchObject({ phase: 'none', otherSession: { lessonId: 'other' } });
    expect(server.sockets).toEqual([]);
  });

  test.each(['no-capacity', 'too-many-sessions', 'cannot-run'] as const)(
    '%s is shown at once',
    async (code) => {
      server.next = new LabError(code, 'No.', { hint: 'Later.' });
      await session.start();
      expect(session.getState()).toMatchObject({
        phase: 'none',
        problem: { code, message: 'No.', hint: 'Later.' },
      });
    },
  );
});

describe('a recording', () => {
  test('is saved under its name and announced', async () => {
    await ready();
    const saved: string[] = [];
    await session.takeRecording('source', (name) => saved.push(name));
    expect(saved).toEqual(['x-source.cast']);
    expect(session.getState().announcement).toContain('x-source.cast');
  });

  test('that fails shows an error and saves nothing', async () => {
    await ready();
    await session.takeRecording('gone', () => {
      throw new Error('saved');
    });
    expect(session.getState()).toMatchObject({ phase: 'active', problem: { code: 'bad-message' } });
  });
});

describe('the end', () => {
  test('is as in the last message', async () => {
    await ready();
    const deadline = { endsAtMs: 500_000, extensionsLeft: 1, idleEndsAtMs: 400_000 };
    server.say({ type: 'deadline', deadline });
    expect(see(selectors.deadlineOf)).toEqual(deadline);
    session.confirmPresence();
    expect(server.sent.at(-1)).toEqual({ type: 'here' });
    server.say({ type: 'deadline', deadline: { ...deadline, idleEndsAtMs: null } });
    expect(announced.at(-1)).toBe('Your session continues.');
  });

  test('is postponed once for a double click', async () => {
    await ready();
    server.next = { session: { ...info('s1'), endsAtMs: 2_000_000, extensionsLeft: 1 }, queue: null };
    await Promise.all([session.extend(), session.extend()]);
    expect(server.asked.filter((what) => what === 'extend')).toHaveLength(1);
    expect(session.getState()).toMatchObject({
      extending: false,
      deadline: { endsAtMs: 2_000_000, extensionsLeft: 1, idleEndsAtMs: null },
    });
    expect(announced.at(-1)).toMatch(/^Your session now ends at /);
  });

  test.each(['idle', 'disconnected', 'total-time', 'host-lost'] as const)(
    'shows the reason %s',
    async (reason) => {
      await ready({ saves: [{ stepId: 'move', savedAtMs: 1 }] });
      server.say({ type: 'ended', reason });
      expect(session.getState()).toMatchObject({
        phase: 'ended',
        reason,
      });
    },
  );
});

test('when the session ends, a command in flight is refused and a running one stops being shown as running', async () => {
  const runs = [report('move', { state: 'running', elapsedMs: 5 })];
  await ready({ runs });
  session.run('start', 0);
  server.say({ type: 'ended', reason: 'idle' });
  expect(session.getState().runs).toMatchObject({
    'start/0': { state: 'refused', problem: { code: 'not-ready' } },
    'move/0': { state: 'typed', command: null },
  });
});

test('a command for hosts that were replaced during a break can be run again', async () => {
  await ready();
  session.run('start', 0);
  server.sockets[0]?.handlers.onClose(1006);
  await vi.advanceTimersByTimeAsync(1000);
  server.say(hello('s1', { sandboxId: 'another' }));
  expect(session.getState().runs['start/0']?.state).toBe('refused');
  session.run('start', 0);
  expect(server.sent.at(-1)).toMatchObject({ type: 'run', stepId: 'start' });
});

test('a repeated command keeps waiting after a break, although an earlier run is reported', async () => {
  const runs = [report('start', { state: 'done', exitCode: 0, durationMs: 9 })];
  await ready({ runs });
  session.run('start', 0);
  server.sockets[0]?.handlers.onClose(1006);
  await vi.advanceTimersByTimeAsync(1000);
  server.say(hello('s1', { runs }));
  expect(session.getState().runs['start/0']?.state).toBe('sent');
});

test('a deleted session for another lesson no longer blocks when no hosts are free', async () => {
  server.now = pair('s1', 'other');
  await session.load();
  server.next = new LabError('no-capacity', 'All pairs are taken.');
  await session.start();
  expect(session.getState()).toMatchObject({
    phase: 'none',
    otherSession: null,
    problem: { code: 'no-capacity' },
  });
});

describe('fresh hosts', () => {
  test('are connected to, without traces of the old ones', async () => {
    await ready({ steps: { start: passed }, runs: [report('start')], values: { address: '10.88.0.2' } });
    const old = server.sockets[0];
    server.next = pair('s2');
    const reset = session.reset();
    server.say({ type: 'ended', reason: 'reset' }, old);
    await reset;
    await vi.advanceTimersByTimeAsync(0);
    server.say({ type: 'ended', reason: 'reset' }, old);
    expect(old?.closed).toBe(true);
    server.say(hello('s2'));
    const { steps, runs, values } = active();
    expect({ steps, runs, values }).toEqual({ steps: {}, runs: {}, values: {} });
    expect(active()).toMatchObject({ pair: { phase: 'ready' }, session: { id: 's2' } });
    expect(phases).not.toContain('ended');
    expect(server.asked).toEqual(['GET', 'reset']);
  });

  test('may mean waiting in the queue', async () => {
    await ready();
    server.next = queued(4);
    await session.reset();
    expect(session.getState()).toMatchObject({ phase: 'queued', queue: { position: 4 } });
  });

  test('that fail keep the old ones and show why', async () => {
    await ready();
    server.next = new LabError('no-capacity', 'All pairs are taken.');
    await session.reset();
    await vi.advanceTimersByTimeAsync(0);
    server.say(hello('s1'));
    expect(active()).toMatchObject({
      pair: { phase: 'ready' },
      session: { id: 's1' },
      problem: { code: 'no-capacity' },
    });
  });

  test('requested by another tab appear on this page too', async () => {
    await ready();
    server.now = pair('s2');
    server.say({ type: 'ended', reason: 'reset' });
    await vi.advanceTimersByTimeAsync(0);
    server.say(hello('s2'));
    expect(active()).toMatchObject({ pair: { phase: 'ready' }, session: { id: 's2' } });
    expect(phases).not.toContain('ended');
  });
});

describe('a rewind', () => {
  test('replaces steps, values and runs', async () => {
    await ready({
      steps: { start: passed, move: passed },
      values: { address: '10.88.0.2', other: 'x' },
      runs: [report('start'), report('move')],
      saves: [{ stepId: 'move', savedAtMs: 1 }],
    });
    session.rewind('move');
    session.rewind('move');
    expect(server.sent.filter(({ type }) => type === 'rewind')).toEqual([{ type: 'rewind', stepId: 'move' }]);
    expect(active().rewind).toEqual({ stepId: 'move', state: 'sent' });
    server.say({ type: 'pair', pair: { phase: 'rewinding', elapsedMs: 0 } });
    expect(session.getState()).toMatchObject({ pair: { phase: 'rewinding' }, rewind: { state: 'going' } });
    session.run('start', 0);
    expect(session.getState().runs['start/0']).toMatchObject({
      state: 'refused',
      problem: { code: 'not-ready' },
    });
    server.say({
      type: 'rewound',
      stepId: 'move',
      steps: { start: passed, move: open },
      values: { address: '10.88.0.2' },
      runs: [report('start')],
    });
    server.say({ type: 'pair', pair: { phase: 'ready', elapsedMs: 0 } });
    expect(active()).toMatchObject({ pair: { phase: 'ready' }, rewind: null });
    expect(active().steps['move']?.state).toBe('open');
    expect(active().values).toEqual({ address: '10.88.0.2' });
    expect(session.getState().runs).toEqual({
      'start/0': { state: 'typed', terminal: 'source', command: null },
    });
    expect(announced.at(-1)).toBe('Both hosts are back at the start of step 2, Move it.');
  });

  test('that is refused shows its error at its step, unlike other errors', async () => {
    await ready();
    session.rewind('move');
    const error = { code: 'no-saved-state' as const, message: 'There is no saved state of this step.' };
    server.say({ type: 'error', error });
    expect(active()).toMatchObject({ pair: { phase: 'ready' }, problem: null });
    expect(active().rewind).toEqual({ stepId: 'move', state: 'refused', problem: error });
    server.sockets[0]?.handlers.onClose(1006);
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1'));
    expect(active().rewind?.state).toBe('refused');
    server.say({ type: 'error', error: { code: 'internal', message: 'Something else.' } });
    expect(session.getState().problem?.code).toBe('internal');
  });

  test('without a connection is refused and not repeated later', async () => {
    await ready();
    server.sockets[0]?.handlers.onClose(1006);
    session.rewind('move');
    expect(active().rewind).toMatchObject({ state: 'refused', problem: { code: 'lost' } });
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1'));
    expect(server.sent).toEqual([]);
    expect(active().rewind).toBeNull();
  });

  test('drops a command that waited for the connection', async () => {
    await ready();
    session.run('start', 0);
    server.say({ type: 'rewound', stepId: 'start', steps: {}, values: {}, runs: [] });
    server.sockets[0]?.handlers.onClose(1006);
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1'));
    expect(server.sent).toEqual([]);
  });

  test('during a break is recognized from the hello', async () => {
    await ready({ steps: { start: passed }, runs: [report('start')] });
    server.sockets[0]?.handlers.onClose(1006);
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1', { steps: { start: open } }));
    expect(session.getState().runs).toEqual({});
    expect(active().steps['start']?.state).toBe('open');
  });
});

test('Run works over plain HTTP too, where browsers have no randomUUID', async () => {
  vi.stubGlobal('crypto', { getRandomValues: <T extends Uint8Array>(bytes: T) => bytes.fill(0xff) });
  await ready();
  session.run('start', 0);
  vi.unstubAllGlobals();
  expect(clientMessageSchema.parse(server.sent.at(-1))).toMatchObject({ type: 'run', stepId: 'start' });
});

test('after a pair is lost, the learner can start a new one', async () => {
  await ready({ steps: { start: passed } });
  const error = { code: 'lost' as const, message: 'The source stopped.' };
  server.say({ type: 'pair', pair: { phase: 'failed', elapsedMs: 0, error } });
  expect(session.getState()).toMatchObject({ phase: 'failed', failure: error });
  expect(announced.at(-1)).toBe('The source stopped.');
  server.next = pair('s2');
  await session.start();
  await vi.advanceTimersByTimeAsync(0);
  server.say(hello('s2'));
  expect(server.asked).toEqual(['GET', 'DELETE', 'POST']);
  expect(active()).toMatchObject({ pair: { phase: 'ready' }, session: { id: 's2' } });
  expect(active().steps).toEqual({});
});

describe('a command', () => {
  const mark = (kind: ShellMark, terminal = 'source'): void => {
    server.say({ type: 'mark', terminal, offset: 0, mark: kind });
  };
  const lastRun = (): Extract<ClientMessage, { type: 'run' }> => {
    const run = server.sent.findLast((message) => message.type === 'run');
    if (run === undefined) throw new Error('no run was sent');
    return run;
  };
  const answer = (command: RunReport['command'] = { state: 'typed' }): void => {
    const { runId, stepId, block, terminal } = lastRun();
    server.say({ type: 'run', run: { runId, stepId, block, terminal, command } });
  };
  const refuse = (busy?: Busy): void => {
    const { runId, stepId, block, terminal } = lastRun();
    server.say({ type: 'run-refused', runId, stepId, block, terminal, error, ...(busy ? { busy } : {}) });
  };
  const error = { code: 'not-ready' as const, message: 'The terminal is busy.' };

  test('goes to the terminal in use and shows its outcome', async () => {
    await ready({ terminals: [terminalInfo('source'), terminalInfo('source-2')] });
    session.showTerminal('source-2');
    session.run('start', 0);
    expect(lastRun()).toMatchObject({ terminal: 'source-2', whenBusy: 'refuse' });
    answer();
    expect(session.getState().runs['start/0']).toEqual({
      state: 'typed',
      terminal: 'source-2',
      command: null,
    });
    mark({ kind: 'start', command: 4, atMs: 0 }, 'source-2');
    answer({ state: 'running', elapsedMs: 400 });
    expect(session.getState().runs['start/0']).toMatchObject({
      command: { state: 'running', sinceMs: Date.now() - 400 },
    });
    mark({ kind: 'end', command: 4, exitCode: 1, durationMs: 70 }, 'source-2');
    const done = { state: 'done', exitCode: 1, durationMs: 70 } as const;
    answer(done);
    expect(session.getState().runs['start/0']).toMatchObject({ command: done });
    expect(active().lastCommand['source-2']).toEqual({ command: 4, ...done });
    // The next command is the learner's own, and repeated marks change nothing.
    mark({ kind: 'start', command: 5, atMs: 0 }, 'source-2');
    mark({ kind: 'end', command: 4, exitCode: 0, durationMs: 1 }, 'source-2');
    expect(session.getState().runs['start/0']).toMatchObject({ command: done });
    expect(active().lastCommand['source-2']?.state).toBe('running');
  });

  test('has its outcome after a reload and after a break, whatever the page saw', async () => {
    const done = { state: 'done', exitCode: 0, durationMs: 9 } as const;
    await ready({ runs: [report('start', { state: 'running', elapsedMs: 2_000 })] });
    expect(session.getState().runs['start/0']).toMatchObject({
      command: { state: 'running', sinceMs: Date.now() - 2_000 },
    });
    server.sockets[0]?.handlers.onClose(1006);
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1', { runs: [report('start', done)] }));
    expect(session.getState().runs['start/0']).toEqual({ state: 'typed', terminal: 'source', command: done });
  });

  test('that the learner typed ends on the repainted screen when the page missed its end', async () => {
    await ready();
    mark({ kind: 'start', command: 1, atMs: 0 });
    const shown = { command: 1, promptLine: 0, outputLine: 1, endLine: 2, exitCode: 0, durationMs: 9 };
    const size = { columns: 80, rows: 24 };
    const screen = { type: 'screen' as const, terminal: 'source', offset: 9, ...size, bytes: 0 };
    server.say({ ...screen, commands: [shown] });
    expect(active().lastCommand['source']).toMatchObject({ state: 'done', exitCode: 0 });
  });

  test('for a busy terminal waits for the learner’s answer and is then sent again', async () => {
    await ready();
    session.run('start', 0);
    const first = lastRun().runId;
    refuse('program');
    expect(active().question).toEqual({
      stepId: 'start',
      block: 0,
      terminal: 'source',
      busy: 'program',
    });
    session.answer('interrupt');
    expect(active().question).toBeNull();
    expect(lastRun()).toMatchObject({ terminal: 'source', whenBusy: 'interrupt' });
    expect(lastRun().runId).not.toBe(first);
  });

  test('from another page asks nothing on this one', async () => {
    await ready();
    const runId = '7f3d0f5c-9c9e-4a39-8f0a-6a1d2b3c4d5e';
    const run = { runId, stepId: 'start', block: 0, terminal: 'source' };
    server.say({ type: 'run-refused', ...run, busy: 'program', error });
    expect(session.getState()).toMatchObject({ question: null, runs: {} });
  });

  test('runs in a new terminal as soon as it has a prompt', async () => {
    await ready();
    session.run('start', 0);
    refuse('full-screen');
    session.answer('new-terminal');
    const asked = server.sent.at(-1);
    if (asked?.type !== 'open-terminal') throw new Error('no terminal was asked for');
    const terminals = [terminalInfo('source'), terminalInfo('destination'), terminalInfo('source-2')];
    server.say({ type: 'terminals', terminals, requestId: asked.requestId });
    expect(session.activeTerminal('source')).toBe('source-2');
    expect(server.sent.filter(({ type }) => type === 'run')).toHaveLength(1);
    server.say({ type: 'prompt', terminal: 'source-2', idle: true });
    expect(lastRun()).toMatchObject({ terminal: 'source-2', whenBusy: 'refuse' });
    server.say({ type: 'prompt', terminal: 'source-2', idle: true });
    expect(server.sent.filter(({ type }) => type === 'run')).toHaveLength(2);
  });

  test('goes to the lesson’s second terminal, which is opened if it is missing', async () => {
    session = sessionOf({
      ...lesson,
      steps: [{ ...step('start', 'Start it'), runs: [run, { ...run, terminal: 2 }] }],
    });
    session.run('start', 1);
    expect(session.getState().runs['start/1']).toMatchObject({
      state: 'refused',
      problem: { code: 'not-ready' },
    });
    await ready();
    session.run('start', 1);
    const asked = server.sent.at(-1);
    if (asked?.type !== 'open-terminal') throw new Error('no terminal was asked for');
    const terminals = [terminalInfo('source'), terminalInfo('destination'), terminalInfo('source-2')];
    server.say({ type: 'terminals', terminals, requestId: asked.requestId });
    server.say({ type: 'prompt', terminal: 'source-2', idle: true });
    expect(lastRun()).toMatchObject({ block: 1, terminal: 'source-2' });
    // A later command for the first terminal goes there, although the second one is in use.
    session.run('start', 0);
    expect(lastRun()).toMatchObject({ block: 0, terminal: 'source' });
    expect(session.activeTerminal('source')).toBe('source');
    refuse();
    session.run('start', 1);
    expect(server.sent.filter(({ type }) => type === 'open-terminal')).toHaveLength(1);
  });

  test('is refused when its new terminal has no prompt for a minute, or the connection breaks before it opens', async () => {
    await ready();
    session.run('start', 0);
    refuse('program');
    session.answer('new-terminal');
    server.sockets[0]?.handlers.onClose(1006);
    expect(session.getState().runs['start/0']).toMatchObject({ state: 'refused' });
    await vi.advanceTimersByTimeAsync(1000);
    server.say(hello('s1'));
    session.run('start', 0);
    refuse('program');
    session.answer('new-terminal');
    const asked = server.sent.at(-1);
    if (asked?.type !== 'open-terminal') throw new Error('no terminal was asked for');
    const terminals = [terminalInfo('source'), terminalInfo('source-2')];
    server.say({ type: 'terminals', terminals, requestId: asked.requestId });
    for (let ping = 0; ping < 15; ping += 1) {
      await vi.advanceTimersByTimeAsync(4_000);
      server.say({ type: 'pong' });
    }
    expect(session.getState().runs['start/0']).toMatchObject({ state: 'refused' });
  });
});

describe('the layout', () => {
  test('is stored, and restored as far as its terminals still exist', async () => {
    await ready();
    session.arrangeHosts('beside');
    session.splitHost('source', 'stacked');
    const asked = server.sent.at(-1);
    if (asked?.type !== 'open-terminal') throw new Error('no terminal was asked for');
    const two = [terminalInfo('source'), terminalInfo('destination'), terminalInfo('source-2')];
    server.say({ type: 'terminals', terminals: two, requestId: asked.requestId });
    expect(session.getState().layout.hostLayouts.source.shown).toEqual(['source', 'source-2']);
    expect(keptLayout).toEqual(session.getState().layout);
    server.say({ type: 'terminals', terminals: two.slice(0, 2) });
    expect(session.getState().layout).toMatchObject({
      hosts: 'beside',
      hostLayouts: { source: { shown: ['source'] } },
    });
  });

  test('of a viewer is not stored', async () => {
    await ready({ role: 'viewer' });
    session.arrangeHosts('beside');
    expect(session.getState().layout.hosts).toBe('beside');
    expect(keptLayout).toBeUndefined();
  });
});

describe('a viewer', () => {
  test('sees the terminals without requesting a session, until the link is revoked', async () => {
    session.watch();
    await vi.advanceTimersByTimeAsync(0);
    server.say(hello('s1', { role: 'viewer' }));
    expect(session.getState()).toMatchObject({ phase: 'active', role: 'viewer' });
    expect(server.asked).toEqual([]);
    server.sockets[0]?.handlers.onClose(4403);
    await vi.advanceTimersByTimeAsync(0);
    expect(session.getState()).toMatchObject({ phase: 'ended', reason: null });
  });

  test('sees the session end when the owner gets fresh hosts, and requests none', async () => {
    session.watch();
    await vi.advanceTimersByTimeAsync(0);
    server.say(hello('s1', { role: 'viewer' }));
    server.say({ type: 'ended', reason: 'reset' });
    await vi.advanceTimersByTimeAsync(0);
    expect(session.getState()).toMatchObject({ phase: 'ended', reason: 'reset' });
    expect(server.asked).toEqual([]);
  });

  test('has a link until it is revoked', async () => {
    await ready();
    await session.share();
    expect(active().grant).toBe('a-grant');
    await session.stopSharing();
    expect(active().grant).toBeNull();
  });
});

test('shows lost input until it is dismissed', async () => {
  await ready();
  session.noteUndelivered('source', { kind: 'lost', keys: 3 });
  expect(active().undelivered).toEqual({ source: { kind: 'lost', keys: 3 } });
  session.noteUndelivered('source', null);
  expect(active().undelivered).toEqual({});
});
