import { beforeEach, describe, expect, it } from 'vitest';
import { LabError } from '../../server/protocol/errors';
import { decodeFrame, encodeFrame, maxInputBytes } from '../../server/protocol/frames';
import { closeCodes, type ServerMessage } from '../../server/protocol/messages';
import { Connection, type Clock, type ConnectionState, type Socket, type SocketHandlers } from './connection';

class FakeClock implements Clock {
  nowMs = 0;
  #timers: { at: number; callback: () => void }[] = [];

  setTimeout(callback: () => void, ms: number): unknown {
    const timer = { at: this.nowMs + ms, callback };
    this.#timers.push(timer);
    return timer;
  }
  clearTimeout(timer: unknown): void {
    this.#timers = this.#timers.filter((one) => one !== timer);
  }
  /** Just under one: waits are the longest that they can be. */
  random(): number {
    return 0.999;
  }
  get waiting(): number[] {
    return this.#timers.map((timer) => Math.round(timer.at - this.nowMs));
  }
  /** Lets time pass, and whatever was awaited come back. */
  async pass(ms: number): Promise<void> {
    this.nowMs += ms;
    const due = this.#timers.filter((timer) => timer.at <= this.nowMs);
    this.#timers = this.#timers.filter((timer) => timer.at > this.nowMs);
    for (const timer of due) timer.callback();
    await settle();
  }
}

class FakeSocket implements Socket {
  readonly sent: unknown[] = [];
  readonly input: Uint8Array[] = [];
  closed = false;

  constructor(readonly handlers: SocketHandlers) {}

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (typeof data === 'string') this.sent.push(JSON.parse(data));
    else this.input.push(data);
  }
  close(): void {
    this.closed = true;
  }
  message(message: ServerMessage): void {
    this.handlers.onMessage(JSON.stringify(message));
  }
  output(offset: number, text: string, channel = 0): void {
    const bytes = new TextEncoder().encode(text);
    this.handlers.onMessage(encodeFrame({ kind: 'output', channel, offset, bytes }).buffer);
  }
  ofType(type: string): unknown[] {
    return this.sent.filter((message) => (message as { type: string }).type === type);
  }
}

/** A terminal that has parsed what it got only when the test says so. */
class FakeTerminal {
  text = '';
  resets = 0;
  #parsed: (() => void)[] = [];

  write(bytes: Uint8Array, parsed: () => void): void {
    this.text += new TextDecoder().decode(bytes);
    this.#parsed.push(parsed);
  }
  reset(): void {
    this.text = '';
    this.resets += 1;
  }
  parseAll(): void {
    for (const parsed of this.#parsed.splice(0)) parsed();
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const hello = (sessionId: string, offset = 0): ServerMessage => ({
  type: 'hello',
  session: {
    id: sessionId,
    lessonId: 'demo',
    accelerator: 'tcg',
    createdAtMs: 0,
    endsAtMs: 1,
    extensionsLeft: 2,
  },
  pair: { phase: 'ready', elapsedMs: 0 },
  terminals: [
    { id: 'source', host: 'source', channel: 0, offset },
    { id: 'destination', host: 'destination', channel: 1 },
  ],
  steps: {},
  values: {},
  ran: [],
  deadline: { endsAtMs: 1, extensionsLeft: 2, idleEndsAtMs: null },
  saves: [],
});

const size = { columns: 80, rows: 24 };
const run = { runId: '7f3d0f5c-9c9e-4a39-8f0a-6a1d2b3c4d5e', stepId: 'run', block: 0 };

describe('Connection', () => {
  let clock: FakeClock;
  let sockets: FakeSocket[];
  let states: ConnectionState[];
  let errors: LabError[];
  let refuse: LabError | undefined;
  let connection: Connection;
  let terminal: FakeTerminal;
  const socket = (): FakeSocket => {
    const last = sockets.at(-1);
    if (last === undefined) throw new Error('no socket was opened');
    return last;
  };

  beforeEach(async () => {
    clock = new FakeClock();
    sockets = [];
    states = [];
    errors = [];
    refuse = undefined;
    terminal = new FakeTerminal();
    connection = new Connection({
      openSocket: (handlers) => {
        if (refuse !== undefined) return Promise.reject(refuse);
        const opened = new FakeSocket(handlers);
        sockets.push(opened);
        return Promise.resolve(opened);
      },
      onState: (state) => states.push(state),
      onMessage: () => undefined,
      onError: (error) => errors.push(error),
      clock,
    });
    connection.attach('source', terminal, size);
    connection.open();
    await settle();
  });

  it('is open only after hello, and attaches then', () => {
    expect(states).toEqual(['connecting']);
    expect(socket().sent).toEqual([]);
    socket().message(hello('s1'));
    expect(states).toEqual(['connecting', 'open']);
    expect(socket().sent).toEqual([{ type: 'attach', terminal: 'source', offset: 0, ...size }]);
  });

  it('asks after a break for exactly what it has not received', async () => {
    socket().message(hello('s1'));
    socket().output(0, 'hello ');
    socket().handlers.onClose(1006);
    expect(connection.state).toBe('connecting');
    await clock.pass(500);
    connection.resize('source', { columns: 100, rows: 30 });
    socket().message(hello('s1'));
    expect(socket().sent).toEqual([
      { type: 'attach', terminal: 'source', offset: 6, columns: 100, rows: 30 },
    ]);
    socket().output(3, 'lo world');
    expect(terminal.text).toBe('hello world');
    expect(terminal.resets).toBe(0);
  });

  it('waits longer after each failure, up to 15 s, and from the start again after a success', async () => {
    refuse = new LabError('lost', 'No server.');
    socket().handlers.onClose(1006);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 7; attempt += 1) {
      const wait = clock.waiting[0] ?? NaN;
      waits.push(Math.round(wait / 500) * 500);
      await clock.pass(wait + 1);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    refuse = undefined;
    connection.retryNow();
    await settle();
    socket().message(hello('s1'));
    socket().handlers.onClose(1006);
    expect(clock.waiting).toEqual([500]);
  });

  it('gives up when the server says that there is no session', async () => {
    refuse = new LabError('no-session', 'There is no session.');
    socket().handlers.onClose(1006);
    await clock.pass(500);
    expect(connection.state).toBe('closed');
    expect(errors).toEqual([refuse]);
    expect(clock.waiting).toEqual([]);
  });

  it('does not come back after the session has ended', async () => {
    socket().message(hello('s1'));
    socket().handlers.onClose(closeCodes.sessionEnded);
    await clock.pass(60_000);
    expect(connection.state).toBe('closed');
    expect(sockets).toHaveLength(1);
  });

  it('acknowledges what the terminal has parsed, after 100 ms or at once from 64 KiB', async () => {
    socket().message(hello('s1'));
    socket().output(0, 'abc');
    await clock.pass(100);
    expect(socket().ofType('ack')).toEqual([]);
    terminal.parseAll();
    expect(socket().ofType('ack')).toEqual([]);
    await clock.pass(100);
    expect(socket().ofType('ack')).toEqual([{ type: 'ack', terminal: 'source', offset: 3 }]);
    socket().output(3, 'x'.repeat(64 * 1024));
    terminal.parseAll();
    expect(socket().ofType('ack').at(-1)).toEqual({ type: 'ack', terminal: 'source', offset: 3 + 64 * 1024 });
  });

  it('starts a terminal over at a gap, and when another session answers', async () => {
    socket().message(hello('s1'));
    socket().output(0, 'old');
    socket().message({ type: 'gap', terminal: 'source', offset: 1000 });
    socket().output(1000, 'new');
    expect(terminal).toMatchObject({ text: 'new', resets: 1 });
    socket().handlers.onClose(1006);
    await clock.pass(500);
    socket().message(hello('s2'));
    expect(terminal).toMatchObject({ text: '', resets: 2 });
    expect(socket().ofType('attach')).toEqual([{ type: 'attach', terminal: 'source', offset: 0, ...size }]);
  });

  it('sends a run again with the same id until it is answered, and then no more', async () => {
    socket().message(hello('s1'));
    connection.run(run);
    socket().handlers.onClose(1006);
    await clock.pass(500);
    socket().message(hello('s1'));
    expect(socket().ofType('run')).toEqual([{ type: 'run', ...run }]);
    socket().message({ type: 'run', ...run, result: 'typed' });
    socket().handlers.onClose(1006);
    await clock.pass(500);
    socket().message(hello('s1'));
    expect(socket().ofType('run')).toEqual([]);
  });

  it('refuses input without a connection and cuts long input into frames', () => {
    const paste = new Uint8Array(maxInputBytes + 5).fill(97);
    expect(connection.input('source', paste)).toBe(false);
    socket().message(hello('s1'));
    expect(connection.input('source', paste)).toBe(true);
    const frames = socket().input.map(decodeFrame);
    expect(frames.map((frame) => [frame.kind, frame.channel, frame.bytes.length])).toEqual([
      ['input', 0, maxInputBytes],
      ['input', 0, 5],
    ]);
  });

  it('drops what the terminal answers to queries in a replay', () => {
    socket().message(hello('s1', 3));
    socket().output(0, '\x1b[c');
    connection.input('source', new Uint8Array([1]));
    expect(socket().input).toEqual([]);
    terminal.parseAll();
    connection.input('source', new Uint8Array([2]));
    expect(socket().input).toHaveLength(1);
  });

  it('reports a message that it does not understand and goes on', () => {
    socket().message(hello('s1'));
    socket().handlers.onMessage('{"type":"from-the-future"}');
    expect(errors.map((error) => error.code)).toEqual(['bad-message']);
    expect(connection.state).toBe('open');
  });
});
