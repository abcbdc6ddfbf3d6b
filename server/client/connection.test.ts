import { beforeEach, describe, expect, test } from 'vitest';
import { LabError } from '../protocol/errors';
import { decodeFrame } from '../protocol/frames';
import { closeCodes, type ServerMessage } from '../protocol/messages';
import { Connection, type ConnectionState } from './connection';
import { answerMs, helloMs, noticeMs, pingAfterMs, wakeAnswerMs } from './line';
import { ackBytes, ackMs } from './terminal-stream';
import { maxAgeMs } from './input-queue';
import { FakeClock, FakeNetwork, FakeTerminal, settle, type FakeSocket } from '../testing/connection';

class InstantTerminal extends FakeTerminal {
  override write(bytes: Uint8Array, replayed: boolean, parsed: () => void): void {
    super.write(bytes, replayed, parsed);
    this.parseAll();
  }
}

const hello = (
  sandboxId = 's1',
  more: Partial<Extract<ServerMessage, { type: 'hello' }>> = {},
): ServerMessage => ({
  type: 'hello',
  session: {
    id: 'session',
    lessonId: 'demo',
    accelerator: 'tcg',
    createdAtMs: 0,
    endsAtMs: 1,
    extensionsLeft: 2,
  },
  sandboxId,
  role: 'owner',
  pair: { phase: 'ready', elapsedMs: 0 },
  terminals: [
    { id: 'source', host: 'source', channel: 0, name: 'one' },
    { id: 'destination', host: 'destination', channel: 1, name: 'one' },
  ],
  steps: {},
  values: {},
  runs: [],
  deadline: { endsAtMs: 1, extensionsLeft: 2, idleEndsAtMs: null },
  saves: [],
  ...more,
});

const size = { columns: 80, rows: 24 };
const clientId = '0f3d0f5c-9c9e-4a39-8f0a-6a1d2b3c4d5e';
const run = {
  runId: '7f3d0f5c-9c9e-4a39-8f0a-6a1d2b3c4d5e',
  stepId: 'run',
  block: 0,
  terminal: 'source',
  whenBusy: 'refuse' as const,
};
const attached = (more: Partial<Extract<ServerMessage, { type: 'attached' }>> = {}): ServerMessage => ({
  type: 'attached',
  terminal: 'source',
  offset: 0,
  screen: false,
  inputOffset: 0,
  ...size,
  ...more,
});
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('Connection', () => {
  let clock: FakeClock;
  let network: FakeNetwork;
  let states: ConnectionState[];
  let errors: LabError[];
  let silences: (number | null)[];
  let lost: [string, number][];
  let connection: Connection;
  let terminal: FakeTerminal;
  const socket = (): FakeSocket => network.socket;
  /** The connection breaks, and the next one gets its hello. */
  const reconnect = async (): Promise<void> => {
    socket().handlers.onClose(1006);
    await clock.pass(500);
    socket().message(hello());
  };
  const typed = (): [number, string][] =>
    socket().input.map((data) => {
      const frame = decodeFrame(data);
      return [frame.offset, new TextDecoder().decode(frame.bytes)];
    });

  beforeEach(async () => {
    clock = new FakeClock();
    network = new FakeNetwork();
    states = [];
    errors = [];
    silences = [];
    lost = [];
    terminal = new FakeTerminal();
    connection = new Connection({
      openSocket: network.openSocket,
      onState: (state) => states.push(state),
      onSilence: (sinceMs) => silences.push(sinceMs),
      onMessage: () => undefined,
      onError: (error) => errors.push(error),
      onInputLost: (id, keys) => lost.push([id, keys]),
      clock,
      clientId,
    });
    connection.attach('source', terminal, size);
    connection.open();
    await settle();
  });

  test('is open only after hello, and then attaches', () => {
    expect(states).toEqual(['connecting']);
    expect(socket().sent).toEqual([]);
    socket().message(hello());
    expect(states).toEqual(['connecting', 'open']);
    expect(socket().sent).toEqual([{ type: 'attach', terminal: 'source', from: null, ...size, clientId }]);
  });

  test('waits longer after each failure, up to 15 s, and starts over after a success', async () => {
    network.refuse = new LabError('lost', 'No server.');
    socket().handlers.onClose(1006);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 7; attempt += 1) {
      const wait = clock.waiting[0] ?? NaN;
      waits.push(Math.round(wait / 500) * 500);
      await clock.pass(wait + 1);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    network.refuse = undefined;
    connection.wake();
    await settle();
    socket().message(hello());
    socket().handlers.onClose(1006);
    expect(clock.waiting).toEqual([500]);
  });

  test('waits long before it reconnects when the server blames this page for the break', async () => {
    socket().message(hello());
    socket().handlers.onClose(closeCodes.badMessage);
    expect(clock.waiting.map((ms) => Math.round(ms / 100) * 100)).toEqual([8000]);
    await clock.pass(8000);
    socket().message(hello());
    socket().handlers.onClose(closeCodes.badMessage);
    expect(clock.waiting.map((ms) => Math.round(ms / 100) * 100)).toEqual([8000]);
  });

  test('gives up when the server says that there is no session', async () => {
    network.refuse = new LabError('no-session', 'There is no session.');
    socket().handlers.onClose(1006);
    await clock.pass(500);
    expect(connection.state).toBe('closed');
    expect(errors).toEqual([network.refuse]);
    expect(clock.waiting).toEqual([]);
  });

  test.each([closeCodes.sessionEnded, closeCodes.forbidden])('does not reconnect after %i', async (code) => {
    socket().message(hello());
    socket().handlers.onClose(code);
    await clock.pass(60_000);
    expect(connection.state).toBe('closed');
    expect(network.sockets).toHaveLength(1);
  });

  test('abandons an attempt without a hello, and ignores it when it opens later', async () => {
    const first = socket();
    await clock.pass(helloMs + 1000);
    expect(network.sockets).toHaveLength(2);
    expect(first.closed).toBe(true);
    first.message(hello('old'));
    expect(connection.state).toBe('connecting');
    socket().message(hello());
    expect(connection.state).toBe('open');
  });

  test('starts a new attempt when it is woken while one hangs', async () => {
    await clock.pass(1000);
    connection.wake();
    await settle();
    expect(network.sockets).toHaveLength(1);
    await clock.pass(1000);
    connection.wake();
    await settle();
    expect(network.sockets).toHaveLength(2);
    network.sockets[0]?.message(hello());
    expect(connection.state).toBe('connecting');
    socket().message(hello());
    expect(connection.state).toBe('open');
  });

  test('reports a message that it does not understand and continues', () => {
    socket().message(hello());
    socket().handlers.onMessage('{"type":"from-the-future"}');
    expect(errors.map((error) => error.code)).toEqual(['bad-message']);
    expect(connection.state).toBe('open');
  });

  test('repeats a run with the same id until it is answered', async () => {
    socket().message(hello());
    socket().message(attached());
    connection.run(run);
    expect(socket().sent.slice(-2)).toEqual([
      { type: 'activate', terminal: 'source' },
      { type: 'run', ...run },
    ]);
    await reconnect();
    expect(socket().ofType('run')).toEqual([]);
    socket().message(attached());
    expect(socket().ofType('run')).toEqual([{ type: 'run', ...run }]);
    const { runId, stepId, block, terminal: id } = run;
    socket().message({
      type: 'run',
      run: { runId, stepId, block, terminal: id, command: { state: 'typed' } },
    });
    await reconnect();
    socket().message(attached());
    expect(socket().ofType('run')).toEqual([]);
  });

  test('opens, closes and renames terminals at once or not at all', async () => {
    expect(connection.openTerminal('source', run.runId)).toBe(false);
    socket().message(hello());
    expect(connection.openTerminal('source', run.runId)).toBe(true);
    expect(connection.closeTerminal('source-2')).toBe(true);
    expect(connection.renameTerminal('source', 'logs')).toBe(true);
    await reconnect();
    expect(socket().sent.map(({ type }) => type)).toEqual(['attach']);
  });

  test('attaches a later terminal as soon as it is known', () => {
    socket().message(hello());
    connection.attach('source-2', new FakeTerminal(), size);
    expect(socket().ofType('attach')).toHaveLength(1);
    const terminals = [{ id: 'source-2', host: 'source' as const, channel: 7, name: 'two' }];
    socket().message({ type: 'terminals', terminals });
    expect(socket().ofType('attach').at(-1)).toMatchObject({ terminal: 'source-2', from: null });
  });

  describe('output', () => {
    test('continues after a break at the first missing byte', async () => {
      socket().message(hello());
      socket().message(attached());
      socket().frame('output', 0, 'hello ');
      await reconnect();
      expect(socket().ofType('attach')).toMatchObject([{ from: 6 }]);
      socket().message(attached({ offset: 3 }));
      socket().frame('output', 3, 'lo world');
      expect(terminal).toMatchObject({ text: 'hello world', restarts: 1 });
    });

    test('begins with the screen, at its size and with its commands', () => {
      socket().message(hello());
      socket().message(attached({ offset: 100, screen: true }));
      const screen = { type: 'screen' as const, terminal: 'source', offset: 100, columns: 132, rows: 40 };
      const command = { command: 1, promptLine: 0, outputLine: 1, endLine: 2, exitCode: 0, durationMs: 5 };
      socket().message({ ...screen, bytes: 8, commands: [command] });
      socket().frame('screen', 0, 'scr');
      socket().frame('screen', 3, 'een$ ');
      socket().frame('output', 100, 'ls');
      expect(terminal.log).toEqual(['restart 132', 'write scr', 'write een$ ', 'commands 1', 'write ls']);
    });

    test('requests the whole screen again when a break interrupted one', async () => {
      socket().message(hello());
      socket().message(attached({ offset: 100, screen: true }));
      socket().message({ type: 'screen', terminal: 'source', offset: 100, ...size, bytes: 8, commands: [] });
      socket().frame('screen', 0, 'scr');
      await reconnect();
      expect(socket().ofType('attach')).toMatchObject([{ from: null }]);
    });

    test('delivers sizes and marks at their positions', () => {
      socket().message(hello());
      socket().message(attached());
      socket().frame('output', 0, '$ ');
      socket().message({ type: 'mark', terminal: 'source', offset: 2, mark: { kind: 'prompt' } });
      socket().frame('output', 2, 'ls');
      socket().message({ type: 'size', terminal: 'source', columns: 100, rows: 30, active: false });
      socket().frame('output', 4, '\r\n');
      expect(terminal.log.slice(1)).toEqual([
        'write $ ',
        'mark prompt',
        'write ls',
        'size 100 passive',
        'write \r\n',
      ]);
    });

    test('is acknowledged after the terminal has parsed it: soon, or at once if it is large', async () => {
      socket().message(hello());
      socket().message(attached());
      socket().frame('output', 0, 'abc');
      await clock.pass(ackMs);
      expect(socket().ofType('ack')).toEqual([]);
      terminal.parseAll();
      expect(socket().ofType('ack')).toEqual([]);
      await clock.pass(ackMs);
      expect(socket().ofType('ack')).toEqual([{ type: 'ack', terminal: 'source', offset: 3 }]);
      socket().frame('output', 3, 'x'.repeat(ackBytes));
      terminal.parseAll();
      expect(socket().ofType('ack').at(-1)).toEqual({
        type: 'ack',
        terminal: 'source',
        offset: 3 + ackBytes,
      });
    });

    test('is acknowledged by a terminal that parses at once, and so is a screen', async () => {
      connection.attach('source', new InstantTerminal(), size);
      socket().message(hello());
      socket().message(attached({ offset: 100, screen: true }));
      socket().message({ type: 'screen', terminal: 'source', offset: 100, ...size, bytes: 2, commands: [] });
      socket().frame('screen', 0, '$ ');
      await clock.pass(ackMs);
      expect(socket().ofType('ack')).toEqual([{ type: 'ack', terminal: 'source', offset: 100 }]);
      socket().frame('output', 100, 'ls');
      await clock.pass(ackMs);
      expect(socket().ofType('ack')).toHaveLength(2);
    });

    test('begins at the offset that the sink has', () => {
      connection.attach('source', terminal, size, 40);
      socket().message(hello());
      expect(socket().ofType('attach')).toMatchObject([{ from: 40 }]);
      socket().message(attached({ offset: 38 }));
      socket().frame('output', 38, 'abcd');
      expect(terminal).toMatchObject({ text: 'cd', restarts: 0 });
      expect(connection.offset('source')).toBe(42);
    });

    test('of another session replaces the old output, and input offsets start over', async () => {
      socket().message(hello());
      socket().message(attached());
      connection.input('source', bytes('rm '));
      socket().handlers.onClose(1006);
      await clock.pass(500);
      socket().message(hello('s2'));
      expect(terminal.restarts).toBe(2);
      expect(socket().ofType('attach')).toMatchObject([{ from: null }]);
      socket().message(attached());
      expect(socket().input).toEqual([]);
    });

    test('with a gap is not shown: the page reconnects and requests the screen', async () => {
      socket().message(hello());
      socket().message(attached());
      socket().frame('output', 0, 'abc');
      socket().frame('output', 7, 'xyz');
      expect(terminal.text).toBe('abc');
      expect(errors).toHaveLength(1);
      expect(connection.state).toBe('connecting');
      await clock.pass(8000);
      socket().message(hello());
      expect(socket().ofType('attach')).toMatchObject([{ from: null }]);
    });

    test('of a replaced attachment is not mistaken for the new one’s', () => {
      socket().message(hello());
      socket().message(attached());
      connection.detach('source');
      const next = new FakeTerminal();
      connection.attach('source', next, size);
      socket().frame('output', 0, 'old');
      connection.detach('source');
      connection.attach('source', next, size);
      socket().message(attached({ offset: 3, screen: true }));
      socket().message({ type: 'screen', terminal: 'source', offset: 3, ...size, bytes: 3, commands: [] });
      socket().frame('screen', 0, 'old');
      expect(next.text).toBe('');
      socket().message(attached({ offset: 3, screen: true }));
      socket().message({ type: 'screen', terminal: 'source', offset: 3, ...size, bytes: 3, commands: [] });
      socket().frame('screen', 0, 'old');
      socket().frame('output', 3, 'new');
      expect(next.text).toBe('oldnew');
    });

    test('from before the attachment is a replay, exact to the byte', () => {
      socket().message(hello());
      socket().message(attached({ end: 5 }));
      socket().frame('output', 0, 'abc');
      socket().frame('output', 3, 'defgh');
      expect(terminal.replayed).toBe('abcde');
      expect(terminal.text).toBe('abcdefgh');
    });
  });

  describe('input', () => {
    test('is sent with its offset', () => {
      socket().message(hello());
      socket().message(attached());
      expect(connection.input('source', bytes('l'))).toBe('taken');
      expect(connection.input('source', bytes('s\r'))).toBe('taken');
      expect(typed()).toEqual([
        [0, 'l'],
        [1, 's\r'],
      ]);
    });

    test('without an acknowledgement is sent again after a break', async () => {
      socket().message(hello());
      socket().message(attached());
      connection.input('source', bytes('ls'));
      socket().message({ type: 'input-ack', terminal: 'source', offset: 2 });
      connection.input('source', bytes(' -l\r'));
      await reconnect();
      socket().message(attached({ inputOffset: 3 }));
      expect(typed()).toEqual([[3, '-l\r']]);
      expect(lost).toEqual([]);
    });

    test('that is too old is dropped, and the learner is told', async () => {
      socket().message(hello());
      socket().message(attached());
      connection.input('source', bytes('r'));
      connection.input('source', bytes('m'));
      network.refuse = new LabError('lost', 'No server.');
      socket().handlers.onClose(1006);
      await clock.pass(maxAgeMs);
      network.refuse = undefined;
      connection.wake();
      await settle();
      socket().message(hello());
      socket().message(attached());
      expect(typed()).toEqual([]);
      expect(lost).toEqual([['source', 2]]);
      connection.input('source', bytes('x'));
      expect(typed()).toEqual([[0, 'x']]);
    });

    test('is refused without a connection, and waits for the answer to the attachment', () => {
      expect(connection.input('source', bytes('x'))).toBe('offline');
      socket().message(hello());
      expect(connection.input('source', bytes('y'))).toBe('taken');
      expect(typed()).toEqual([]);
      socket().message(attached());
      expect(typed()).toEqual([[0, 'y']]);
    });

    test('is refused for a viewer', () => {
      socket().message(hello('s1', { role: 'viewer' }));
      socket().message(attached());
      expect(connection.input('source', bytes('x'))).toBe('watching');
      connection.viewport('source', size);
      connection.activate('source');
      expect(socket().input).toEqual([]);
      expect(socket().sent.map(({ type }) => type)).toEqual(['attach']);
    });
  });

  test('pauses output while the page is hidden, and then continues', () => {
    socket().message(hello());
    socket().message(attached());
    socket().frame('output', 0, 'abc');
    connection.rest();
    expect(socket().sent.at(-1)).toEqual({ type: 'detach', terminal: 'source' });
    socket().frame('output', 3, 'def');
    expect(terminal.text).toBe('abc');
    connection.wake();
    expect(socket().ofType('attach').at(-1)).toMatchObject({ from: 3 });
    socket().message(attached({ offset: 3, end: 6 }));
    socket().frame('output', 3, 'def');
    expect(terminal).toMatchObject({ text: 'abcdef', replayed: 'def' });
  });

  describe('a silent connection', () => {
    beforeEach(() => {
      socket().message(hello());
    });

    test('is pinged, reported and abandoned', async () => {
      await clock.pass(pingAfterMs);
      expect(socket().ofType('ping')).toHaveLength(1);
      expect(silences).toEqual([]);
      await clock.pass(noticeMs);
      expect(silences).toEqual([0]);
      await clock.pass(answerMs - noticeMs);
      expect(connection.state).toBe('connecting');
      expect(silences).toEqual([0, null]);
      await clock.pass(500);
      expect(network.sockets).toHaveLength(2);
    });

    test('that answers stays open, and is not pinged while messages arrive', async () => {
      await clock.pass(pingAfterMs);
      socket().message({ type: 'pong' });
      await clock.pass(pingAfterMs - 1);
      expect(socket().ofType('ping')).toHaveLength(1);
      socket().message({ type: 'values', values: {} });
      await clock.pass(pingAfterMs - 1);
      expect(socket().ofType('ping')).toHaveLength(1);
      expect(connection.state).toBe('open');
      expect(silences).toEqual([]);
    });

    test('is abandoned sooner when the page was just woken', async () => {
      connection.wake();
      expect(socket().ofType('ping')).toHaveLength(1);
      await clock.pass(wakeAnswerMs);
      expect(connection.state).toBe('connecting');
    });
  });
});
