/**
 * One browser's line to its session: a WebSocket that comes back by itself, and the terminals' bytes on it.
 *
 * Knows no DOM, no framework and no HTTP, so that tests drive it with a fake socket and a fake clock. The invariants:
 * - `received` of a terminal only grows within a session; a reconnect asks for what comes after it, and bytes that come twice are cut.
 * - a run request is sent again with the same id on each new connection until the server has said what became of it,
 *   or the hosts go back to an earlier state, which it was not meant for.
 * - input is sent or refused at once, never kept: what is typed blind must not reach a root shell minutes later.
 */
import { LabError } from '../../server/protocol/errors';
import { decodeFrame, encodeFrame, maxInputBytes } from '../../server/protocol/frames';
import type { HostName } from '../../server/protocol/hosts';
import {
  closeCodes,
  parseMessage,
  serverMessageSchema,
  type ClientMessage,
  type ServerMessage,
  type TerminalInfo,
} from '../../server/protocol/messages';

/** `open` begins with the server's hello, not with the socket: before it nothing can be attached. */
export type ConnectionState = 'open' | 'connecting' | 'closed';

/** An open line; a WebSocket in the browser. */
export interface Socket {
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
}

/** What a socket tells. */
export interface SocketHandlers {
  onMessage: (data: string | ArrayBuffer) => void;
  /** The socket is gone, or never opened. */
  onClose: (code: number) => void;
}

/** Time and chance, handed in so that tests own them. */
export interface Clock {
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  /** From 0 up to, but not including, 1. */
  random(): number;
}

/** Where a terminal's output goes. */
export interface TerminalSink {
  /** @param parsed to be called when the terminal has worked through these bytes */
  write(bytes: Uint8Array, parsed: () => void): void;
  /** What is shown no longer fits what comes: output was lost, or another session's begins. */
  reset(why: 'gap' | 'new-session'): void;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

export interface ConnectionOptions {
  /**
   * Gets a ticket and opens a socket with it.
   * @throws LabError with a code other than `lost` when trying again cannot help
   */
  openSocket: (handlers: SocketHandlers) => Promise<Socket>;
  onState: (state: ConnectionState) => void;
  onMessage: (message: ServerMessage) => void;
  onError: (error: LabError) => void;
  clock: Clock;
}

/** Parsed output that makes an acknowledgement due at once: one for each frame would be a message for every keystroke's echo. */
const ackBytes = 64 * 1024;
/** A quiet terminal's last bytes are acknowledged after this. */
const ackMs = 100;
/** First wait before a new attempt: long enough for a gateway to restart, short enough not to be noticed. */
const firstRetryMs = 500;
/** Longest wait: a learner who is back from lunch should not have to look for a button. */
const lastRetryMs = 15_000;

interface Attachment {
  sink: TerminalSink;
  size: TerminalSize;
  /** Number of the next byte expected. */
  received: number;
  /** All bytes before this number are on the screen. */
  parsed: number;
  acked: number;
  /** Bytes before this number were put out before this connection: answers to them are dropped. */
  replayEnd: number;
  ackTimer: unknown;
}

type RunRequest = Extract<ClientMessage, { type: 'run' }>;

export class Connection {
  #state: ConnectionState = 'closed';
  #socket: Socket | undefined;
  #retryTimer: unknown;
  #failures = 0;
  #sessionId: string | undefined;
  #terminals: readonly TerminalInfo[] = [];
  readonly #attachments = new Map<HostName, Attachment>();
  readonly #unansweredRuns = new Map<string, RunRequest>();

  constructor(private readonly options: ConnectionOptions) {}

  get state(): ConnectionState {
    return this.#state;
  }

  open(): void {
    if (this.#state !== 'closed') return;
    this.#failures = 0;
    this.#setState('connecting');
    void this.#connect();
  }

  /** Ends the connection for good; what is attached stays attached for the next {@link open}. */
  close(): void {
    this.#dropSocket();
    this.options.clock.clearTimeout(this.#retryTimer);
    this.#unansweredRuns.clear();
    this.#setState('closed');
  }

  /** The network is said to be back: tries at once instead of waiting out the pause. */
  retryNow(): void {
    if (this.#state !== 'connecting' || this.#retryTimer === undefined) return;
    this.options.clock.clearTimeout(this.#retryTimer);
    void this.#connect();
  }

  /** Output of the host's terminal goes to the sink from now on, from its first kept byte. */
  attach(host: HostName, sink: TerminalSink, size: TerminalSize): void {
    const attachment: Attachment = {
      sink,
      size,
      received: 0,
      parsed: 0,
      acked: 0,
      replayEnd: 0,
      ackTimer: undefined,
    };
    this.#attachments.set(host, attachment);
    if (this.#state === 'open') this.#sendAttach(host, attachment);
  }

  detach(host: HostName): void {
    this.options.clock.clearTimeout(this.#attachments.get(host)?.ackTimer);
    this.#attachments.delete(host);
  }

  resize(host: HostName, size: TerminalSize): void {
    const attachment = this.#attachments.get(host);
    if (attachment === undefined) return;
    attachment.size = size;
    const terminal = this.#terminalOf(host);
    if (terminal !== undefined) this.#send({ type: 'resize', terminal: terminal.id, ...size });
  }

  /** @returns false when nothing was sent, because there is no connection */
  input(host: HostName, bytes: Uint8Array): boolean {
    const terminal = this.#terminalOf(host);
    const attachment = this.#attachments.get(host);
    if (this.#state !== 'open' || terminal === undefined || attachment === undefined) return false;
    if (attachment.parsed < attachment.replayEnd) return true;
    for (let start = 0; start < bytes.length; start += maxInputBytes) {
      const part = bytes.subarray(start, start + maxInputBytes);
      this.#socket?.send(encodeFrame({ kind: 'input', channel: terminal.channel, offset: 0, bytes: part }));
    }
    return true;
  }

  run(request: Omit<RunRequest, 'type'>): void {
    const message: RunRequest = { type: 'run', ...request };
    this.#unansweredRuns.set(request.runId, message);
    this.#send(message);
  }

  check(stepId: string): void {
    this.#send({ type: 'check', stepId });
  }

  /**
   * Unlike a run this is never sent again: it deletes what was done, and must not do so by surprise.
   * @returns false when nothing was sent, because there is no connection
   */
  rewind(stepId: string): boolean {
    if (this.#state !== 'open') return false;
    this.#send({ type: 'rewind', stepId });
    return true;
  }

  here(): void {
    this.#send({ type: 'here' });
  }

  /** The host whose terminal has this id. */
  hostOf(terminalId: string): HostName | undefined {
    return this.#terminals.find((terminal) => terminal.id === terminalId)?.host;
  }

  async #connect(): Promise<void> {
    this.#retryTimer = undefined;
    let socket: Socket | undefined;
    try {
      socket = await this.options.openSocket({
        onMessage: (data) => {
          if (socket !== undefined && socket === this.#socket) this.#onData(data);
        },
        onClose: (code) => {
          if (socket !== undefined && socket === this.#socket) this.#onClose(code);
        },
      });
    } catch (thrown) {
      if (this.#state !== 'connecting') return;
      const error = LabError.from(thrown, 'Connecting to the session');
      if (error.code === 'lost') {
        this.#retryLater();
      } else {
        this.close();
        this.options.onError(error);
      }
      return;
    }
    // close() was called while the ticket was on its way.
    if (this.#state === 'connecting') this.#socket = socket;
    else socket.close();
  }

  #onData(data: string | ArrayBuffer): void {
    try {
      if (typeof data === 'string') this.#onText(data);
      else this.#onFrame(new Uint8Array(data));
    } catch (thrown) {
      this.options.onError(LabError.from(thrown, 'Reading what the session sent'));
    }
  }

  #onClose(code: number): void {
    this.#dropSocket();
    if (code === closeCodes.sessionEnded) {
      this.close();
    } else {
      this.#setState('connecting');
      this.#retryLater();
    }
  }

  #retryLater(): void {
    const longest = Math.min(lastRetryMs, firstRetryMs * 2 ** this.#failures);
    this.#failures += 1;
    // Between half and all of it: a room full of learners must not come back in one instant.
    const wait = longest * (0.5 + this.options.clock.random() / 2);
    this.#retryTimer = this.options.clock.setTimeout(() => void this.#connect(), wait);
  }

  #dropSocket(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    for (const attachment of this.#attachments.values()) {
      this.options.clock.clearTimeout(attachment.ackTimer);
      attachment.ackTimer = undefined;
    }
    socket?.close();
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.options.onState(state);
  }

  #terminalOf(host: HostName): TerminalInfo | undefined {
    return this.#terminals.find((terminal) => terminal.host === host);
  }

  #attachmentOf(matches: (terminal: TerminalInfo) => boolean): Attachment | undefined {
    const terminal = this.#terminals.find(matches);
    return terminal && this.#attachments.get(terminal.host);
  }

  #send(message: ClientMessage): void {
    if (this.#state === 'open') this.#socket?.send(JSON.stringify(message));
  }

  #sendAttach(host: HostName, attachment: Attachment): void {
    const terminal = this.#terminalOf(host);
    if (terminal === undefined) return;
    attachment.replayEnd = terminal.offset ?? 0;
    this.#send({ type: 'attach', terminal: terminal.id, offset: attachment.received, ...attachment.size });
  }

  #onText(text: string): void {
    const message = parseMessage(serverMessageSchema, text);
    if (message.type === 'hello') this.#onHello(message);
    if (message.type === 'run') this.#unansweredRuns.delete(message.runId);
    if (message.type === 'gap') {
      const attachment = this.#attachmentOf((terminal) => terminal.id === message.terminal);
      if (attachment !== undefined) this.#restart(attachment, message.offset, 'gap');
    }
    if (message.type === 'rewound') this.#unansweredRuns.clear();
    this.options.onMessage(message);
    if (message.type === 'ended') this.close();
  }

  #onHello(hello: Extract<ServerMessage, { type: 'hello' }>): void {
    this.#failures = 0;
    this.#terminals = hello.terminals;
    if (this.#sessionId !== undefined && this.#sessionId !== hello.session.id) {
      this.#unansweredRuns.clear();
      for (const attachment of this.#attachments.values()) this.#restart(attachment, 0, 'new-session');
    }
    this.#sessionId = hello.session.id;
    this.#setState('open');
    for (const [host, attachment] of this.#attachments) this.#sendAttach(host, attachment);
    for (const request of this.#unansweredRuns.values()) this.#send(request);
  }

  #restart(attachment: Attachment, offset: number, why: 'gap' | 'new-session'): void {
    attachment.sink.reset(why);
    attachment.received = offset;
    attachment.parsed = offset;
    attachment.acked = offset;
  }

  #onFrame(data: Uint8Array): void {
    const frame = decodeFrame(data);
    const attachment = this.#attachmentOf((terminal) => terminal.channel === frame.channel);
    if (frame.kind !== 'output' || attachment === undefined) return;
    // A hole that no gap message announced: show what there is rather than glue it to what it does not follow.
    if (frame.offset > attachment.received) this.#restart(attachment, frame.offset, 'gap');
    const end = frame.offset + frame.bytes.length;
    if (end <= attachment.received) return;
    const fresh = frame.bytes.subarray(attachment.received - frame.offset);
    attachment.received = end;
    attachment.sink.write(fresh, () => {
      // A reset may have come between: numbers of before it say nothing any more.
      if (end > attachment.received) return;
      attachment.parsed = Math.max(attachment.parsed, end);
      this.#ackWhenDue(frame.channel, attachment);
    });
  }

  #ackWhenDue(channel: number, attachment: Attachment): void {
    const sendAck = (): void => {
      this.options.clock.clearTimeout(attachment.ackTimer);
      attachment.ackTimer = undefined;
      const terminal = this.#terminals.find((one) => one.channel === channel);
      if (this.#state !== 'open' || terminal === undefined) return;
      attachment.acked = attachment.parsed;
      this.#send({ type: 'ack', terminal: terminal.id, offset: attachment.acked });
    };
    if (attachment.parsed - attachment.acked >= ackBytes) sendAck();
    else attachment.ackTimer ??= this.options.clock.setTimeout(sendAck, ackMs);
  }
}
