/** Fakes for tests: a clock, sockets and terminals that the test controls. */
import type { LabError } from '../protocol/errors';
import { encodeFrame } from '../protocol/frames';
import type { ShellMark, ShownCommand } from '../protocol/terminal';
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import type { Clock, Socket, SocketHandlers } from '../client/socket';
import type { TerminalSink, TerminalSize } from '../client/terminal-stream';

export class FakeClock implements Clock {
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
  now(): number {
    return this.nowMs;
  }
  /** Just under one, so random waits are as long as possible. */
  random(): number {
    return 0.999;
  }
  get waiting(): number[] {
    return this.#timers.map((timer) => Math.round(timer.at - this.nowMs));
  }
  /** Advances the time, timer by timer, and lets pending promises settle. */
  async pass(ms: number): Promise<void> {
    const end = this.nowMs + ms;
    for (;;) {
      const next = this.#timers.reduce<{ at: number; callback: () => void } | undefined>(
        (first, one) => (one.at <= end && (first === undefined || one.at < first.at) ? one : first),
        undefined,
      );
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next.at);
      this.clearTimeout(next);
      next.callback();
      await settle();
    }
    this.nowMs = end;
    await settle();
  }
}

export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class FakeSocket implements Socket {
  readonly sent: ClientMessage[] = [];
  readonly input: Uint8Array[] = [];
  closed = false;

  constructor(readonly handlers: SocketHandlers) {}

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (typeof data === 'string') this.sent.push(JSON.parse(data) as ClientMessage);
    else this.input.push(data);
  }
  close(): void {
    this.closed = true;
  }
  message(message: ServerMessage): void {
    this.handlers.onMessage(JSON.stringify(message));
  }
  frame(kind: 'output' | 'screen', offset: number, text: string, channel = 0): void {
    const bytes = new TextEncoder().encode(text);
    this.handlers.onMessage(encodeFrame({ kind, channel, offset, bytes }).buffer);
  }
  ofType(type: string): ClientMessage[] {
    return this.sent.filter((message) => message.type === type);
  }
}

/** The other end of a connection: keeps the sockets that it opens, or refuses them. */
export class FakeNetwork {
  readonly sockets: FakeSocket[] = [];
  /** What opening a socket fails with; undefined: it does not fail. */
  refuse: LabError | undefined;

  readonly openSocket = (handlers: SocketHandlers): Promise<FakeSocket> => {
    if (this.refuse !== undefined) return Promise.reject(this.refuse);
    const socket = new FakeSocket(handlers);
    this.sockets.push(socket);
    return Promise.resolve(socket);
  };

  /** The socket that was opened last. @throws Error when none was */
  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    if (last === undefined) throw new Error('No socket was opened.');
    return last;
  }
}

/** A terminal that finishes parsing only when the test calls {@link parseAll}. */
export class FakeTerminal implements TerminalSink {
  text = '';
  /** The part of {@link text} that is a replay: queries in it must not be answered. */
  replayed = '';
  restarts = 0;
  /** Every call, in order. */
  readonly log: string[] = [];
  #parsed: (() => void)[] = [];

  write(bytes: Uint8Array, replayed: boolean, parsed: () => void): void {
    const text = new TextDecoder().decode(bytes);
    this.text += text;
    if (replayed) this.replayed += text;
    this.log.push(`write ${text}`);
    this.#parsed.push(parsed);
  }
  restart(size?: TerminalSize): void {
    this.text = '';
    this.replayed = '';
    this.restarts += 1;
    this.log.push(`restart ${size?.columns ?? '-'}`);
  }
  resize(size: TerminalSize, active?: boolean): void {
    this.log.push(`size ${size.columns}${active === undefined ? '' : active ? ' active' : ' passive'}`);
  }
  mark(mark: ShellMark): void {
    this.log.push(`mark ${mark.kind}`);
  }
  commands(commands: readonly ShownCommand[]): void {
    this.log.push(`commands ${commands.length}`);
  }
  inUse(): boolean {
    return false;
  }
  parseAll(): void {
    for (const parsed of this.#parsed.splice(0)) parsed();
  }
}
