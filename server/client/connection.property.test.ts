/**
 * Whatever the network does, the page shows a prefix of the terminal's output. Keys arrive once and in order, or the learner is told that
 * they did not. The server here is a model of the protocol, simple enough to check by reading.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeFrame, encodeFrame } from '../protocol/frames';
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import { Connection } from './connection';
import type { SocketHandlers } from './socket';
import { FakeClock, FakeTerminal, settle } from '../testing/connection';

const terminalId = 'source';
const channel = 3;
const size = { columns: 80, rows: 24 };

/** One WebSocket with the messages in flight in both directions. Its two ends learn of a break at different times. */
class Link {
  readonly down: (() => void)[] = [];
  readonly up: (() => void)[] = [];
  pageClosed = false;
  serverClosed = false;
  /** A message was lost in flight. As in TCP, no later message arrives. */
  isBroken = false;
  /** How much of the terminal's output was sent; null before the terminal is attached. */
  sent: number | null = null;

  constructor(readonly handlers: SocketHandlers) {}
}

class ModelServer {
  output = '';
  /** Offset where the rolling buffer begins. */
  kept = 0;
  input = '';
  /** Number of gaps in the input; must stay 0. */
  holes = 0;
  readonly links: Link[] = [];
  /** Only the link that attached last may type. Input from an older link was sent before a break. */
  #writerLink: Link | undefined;

  connect(handlers: SocketHandlers) {
    const link = new Link(handlers);
    this.links.push(link);
    this.#say(link, {
      type: 'hello',
      session: { id: 's', lessonId: 'l', accelerator: 'tcg', createdAtMs: 0, endsAtMs: 1, extensionsLeft: 0 },
      sandboxId: 'sandbox',
      role: 'owner',
      pair: { phase: 'ready', elapsedMs: 0 },
      terminals: [{ id: terminalId, host: 'source', channel, name: 'one' }],
      steps: {},
      values: {},
      runs: [],
      deadline: { endsAtMs: 1, extensionsLeft: 0, idleEndsAtMs: null },
      saves: [],
    });
    return {
      send: (data: string | Uint8Array<ArrayBuffer>) => {
        link.up.push(() => {
          if (typeof data === 'string') this.#onMessage(link, JSON.parse(data) as ClientMessage);
          else this.#onInput(link, decodeFrame(data));
        });
      },
      close: () => {
        link.pageClosed = true;
      },
    };
  }

  /** Sends new output in pieces, and may repeat bytes that were already sent. */
  flush(pieces: number, again: number): void {
    for (const link of this.links) {
      if (link.serverClosed || link.sent === null) continue;
      let from = Math.max(this.kept, link.sent - again);
      if (from > link.sent) from = link.sent;
      const step = Math.max(1, Math.ceil((this.output.length - from) / pieces));
      for (; from < this.output.length; from += step) this.#sendOutput(link, from, from + step);
      link.sent = this.output.length;
    }
  }

  #sendOutput(link: Link, from: number, to: number): void {
    this.#frame(link, 'output', from, this.output.slice(from, to));
  }

  #frame(link: Link, kind: 'output' | 'screen', offset: number, text: string): void {
    link.down.push(() => {
      const bytes = new TextEncoder().encode(text);
      link.handlers.onMessage(encodeFrame({ kind, channel, offset, bytes }).buffer);
    });
  }

  #say(link: Link, message: ServerMessage): void {
    link.down.push(() => {
      link.handlers.onMessage(JSON.stringify(message));
    });
  }

  #onMessage(link: Link, message: ClientMessage): void {
    if (link.serverClosed) return;
    if (message.type === 'ping') this.#say(link, { type: 'pong' });
    if (message.type === 'detach') link.sent = null;
    if (message.type !== 'attach') return;
    this.#writerLink = link;
    const { from } = message;
    const screen = from === null || from < this.kept;
    const offset = screen ? this.output.length : from;
    this.#say(link, {
      type: 'attached',
      terminal: terminalId,
      offset,
      screen,
      end: this.output.length,
      inputOffset: this.input.length,
      ...size,
    });
    if (screen) {
      // The screen contains all output ever, so the test can compare the page with it.
      this.#say(link, {
        type: 'screen',
        terminal: terminalId,
        offset,
        ...size,
        bytes: offset,
        commands: [],
      });
      const half = Math.floor(offset / 2);
      if (half > 0) this.#frame(link, 'screen', 0, this.output.slice(0, half));
      if (half < offset) this.#frame(link, 'screen', half, this.output.slice(half, offset));
    }
    link.sent = offset;
    this.flush(2, 0);
  }

  #onInput(link: Link, frame: { offset: number; bytes: Uint8Array }): void {
    if (link.serverClosed || link !== this.#writerLink) return;
    if (frame.offset > this.input.length) {
      this.holes += 1;
      return;
    }
    this.input += new TextDecoder().decode(frame.bytes.subarray(this.input.length - frame.offset));
    this.#say(link, { type: 'input-ack', terminal: terminalId, offset: this.input.length });
  }
}

type Step =
  | { do: 'put-out'; length: number; pieces: number; again: number }
  | { do: 'forget'; length: number }
  | { do: 'type'; long: boolean }
  /** This many messages arrive in each direction. */
  | { do: 'deliver'; down: number; up: number }
  /** Messages still in flight on an older connection arrive. */
  | { do: 'deliver-late'; up: number }
  /** One or both ends learn that the connection is gone. Messages in flight are lost, or arrive after all. */
  | { do: 'cut'; page: boolean; server: boolean; lose: boolean }
  | { do: 'parse' }
  | { do: 'pass'; ms: number }
  | { do: 'rest' }
  | { do: 'wake' };

const count = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('put-out' as const),
      length: count(40),
      pieces: fc.integer({ min: 1, max: 4 }),
      again: count(10),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), length: count(60) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('type' as const), long: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver' as const), down: count(8), up: count(8) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deliver-late' as const), up: count(8) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('cut' as const),
      page: fc.boolean(),
      server: fc.boolean(),
      lose: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('parse' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(50, 500, 6000, 16_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rest' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wake' as const) }) },
);

/** How many of these keys did not arrive completely; undefined when the input is not a subsequence of them. */
function missing(keys: readonly string[], arrived: string): number | undefined {
  let lost = 0;
  let next = 0;
  for (const piece of arrived.split(/(?=<)/).filter(Boolean)) {
    while (next < keys.length && !keys[next]?.startsWith(piece)) {
      next += 1;
      lost += 1;
    }
    const key = keys[next];
    if (key === undefined) return undefined;
    if (key !== piece) lost += 1;
    next += 1;
  }
  return lost + keys.length - next;
}

test('shows a prefix of the output and types each key at most once, whatever the network does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const clock = new FakeClock();
      const server = new ModelServer();
      const terminal = new FakeTerminal();
      const keys: string[] = [];
      let lost = 0;
      const errors: string[] = [];
      const connection = new Connection({
        openSocket: (handlers) => Promise.resolve(server.connect(handlers)),
        onState: () => undefined,
        onSilence: () => undefined,
        onMessage: () => undefined,
        onError: (error) => errors.push(error.message),
        onInputLost: (_, count) => {
          lost += count;
        },
        clock,
        clientId: '0f3d0f5c-9c9e-4a39-8f0a-6a1d2b3c4d5e',
      });
      connection.attach(terminalId, terminal, size);
      connection.open();
      await settle();

      const deliver = (link: Link | undefined, down: number, up: number): void => {
        if (link?.isBroken) return;
        for (const arrive of link?.up.splice(0, up) ?? []) arrive();
        for (const arrive of link?.down.splice(0, down) ?? []) arrive();
      };
      const take = async (one: Step): Promise<void> => {
        const link = server.links.at(-1);
        switch (one.do) {
          case 'put-out':
            server.output += Array.from({ length: one.length }, (_, index) =>
              String.fromCharCode(97 + ((server.output.length + index) % 26)),
            ).join('');
            server.flush(one.pieces, one.again);
            break;
          case 'forget':
            server.kept = Math.min(server.output.length, server.kept + one.length);
            break;
          case 'type': {
            const key = `<${keys.length}${one.long ? 'x'.repeat(30) : ''}>`;
            if (connection.input(terminalId, new TextEncoder().encode(key)) === 'taken') keys.push(key);
            break;
          }
          case 'deliver':
            deliver(link, one.down, one.up);
            break;
          case 'deliver-late':
            deliver(server.links.at(-2), 0, one.up);
            break;
          case 'cut':
            if (link === undefined) break;
            link.isBroken ||= one.lose;
            link.serverClosed ||= one.server;
            if (one.page && !link.pageClosed) {
              link.pageClosed = true;
              link.handlers.onClose(1006);
            }
            break;
          case 'parse':
            terminal.parseAll();
            break;
          case 'pass':
            await clock.pass(one.ms);
            break;
          case 'rest':
            connection.rest();
            break;
          case 'wake':
            connection.wake();
            break;
        }
        await settle();
        expect(server.output.startsWith(terminal.text)).toBe(true);
        expect(missing(keys, server.input)).toBeDefined();
      };

      for (const one of steps) await take(one);
      // The network recovers: after a while the page has caught up completely.
      const last = server.links.at(-1);
      if (last !== undefined) last.serverClosed = true;
      connection.wake();
      for (let round = 0; round < 80; round += 1) {
        await take({ do: 'deliver', down: 1000, up: 1000 });
        await take({ do: 'pass', ms: 500 });
      }
      expect(connection.state).toBe('open');
      expect(terminal.text).toBe(server.output);
      expect(missing(keys, server.input)).toBe(lost);
      expect(server.holes).toBe(0);
      expect(errors).toEqual([]);
      connection.close();
    }),
    { numRuns: 150 },
  );
}, 120_000);
