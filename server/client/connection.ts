/**
 * One page's line to its session: a WebSocket that comes back by itself, and the terminals' bytes on it.
 *
 * Knows no DOM, no framework and no HTTP, so that tests drive it with a fake socket and a fake clock. The invariants:
 * - what a terminal was given is a prefix of what it put out, without a hole: a reconnect asks for what follows, and bytes that
 *   come twice are cut. When the server no longer has them, the terminal is emptied and given the screen as it was at some byte.
 * - each byte typed is taken once and in order, or the learner is told that it was not: see input-queue.ts. What is typed while
 *   the line is known to be down is refused at once and never kept.
 * - a run request is sent again with the same id on each new connection until the server has said what became of it,
 *   or the hosts go back to an earlier state, which it was not meant for.
 * - a line on which nothing is heard is found out within {@link pingAfterMs} + {@link answerMs}.
 */
import '../protocol/zod-without-eval';
import { LabError } from '../protocol/errors';
import { decodeFrame, encodeFrame, type Frame } from '../protocol/frames';
import type { HostName } from '../protocol/hosts';
import type { ShellMark, ShownCommand, TerminalInfo } from '../protocol/terminal';
import type { Role } from '../protocol/session';
import {
  closeCodes,
  parseMessage,
  serverMessageSchema,
  type ClientMessage,
  type ServerMessage,
} from '../protocol/messages';
import { InputQueue } from './input-queue';

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
  /** Milliseconds, of any origin. */
  now(): number;
  /** From 0 up to, but not including, 1. */
  random(): number;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** A terminal on the page. What it is told takes effect in the order in which it is told. */
export interface TerminalSink {
  /** Nothing of what it shows is true any more: it becomes empty, of this size if one is given. */
  restart(size?: TerminalSize): void;
  /**
   * @param replayed queries in these bytes are not to be answered: they have been, or their program waits no longer
   * @param parsed to be called when the terminal has worked through these bytes
   */
  write(bytes: Uint8Array, replayed: boolean, parsed: () => void): void;
  /** @param active whether this page decides the size; undefined when the server has not said */
  resize(size: TerminalSize, active?: boolean): void;
  mark(mark: ShellMark): void;
  /** The commands on the screen that was just given. */
  commands(commands: readonly ShownCommand[]): void;
  /** Whether the learner's keys go to it now. */
  inUse(): boolean;
}

/** What became of typed bytes: all but `taken` are refused, and nothing of them is kept. */
export type InputResult =
  | 'taken'
  /** There is no connection. */
  | 'offline'
  /** More than may wait for its turn. */
  | 'too-much'
  /** This page may only look. */
  | 'watching';

export interface ConnectionOptions {
  /**
   * Gets a ticket and opens a socket with it.
   * @throws LabError with a code other than `lost` when trying again cannot help
   */
  openSocket: (handlers: SocketHandlers) => Promise<Socket>;
  onState: (state: ConnectionState) => void;
  /** The line does not answer: when it was last heard, by the clock; null when it is heard again or was given up. */
  onSilence: (sinceMs: number | null) => void;
  onMessage: (message: ServerMessage) => void;
  onError: (error: LabError) => void;
  /** What was typed into a terminal before a break did not arrive and is too old to be sent now. */
  onInputLost: (terminal: string, keys: number) => void;
  clock: Clock;
  /** A UUID, one for each page load: whose input the server counts. */
  clientId: string;
}

/** Parsed output that is acknowledged at once: a quarter of the least that a server would let be on its way. */
export const ackBytes = 32 * 1024;
/** A quiet terminal's last bytes are acknowledged after this: for each frame of its own would be a message for every keystroke's echo. */
export const ackMs = 50;
/** First wait before a new attempt: long enough for a gateway to restart, short enough not to be noticed. */
const firstRetryMs = 500;
/** Longest wait: a learner who is back from lunch should not have to look for a button. */
const lastRetryMs = 15_000;
/** The fifth attempt's wait, 8 s: for a server that ended the line for what this page did, and would do so again at once. */
const faultFailures = 4;
/** The first attempt is given up when it got no hello by then, since a request into a dead network may hang for minutes; later ones have longer. */
export const helloMs = 8_000;
/** An attempt that is as old when the page is woken began before whatever woke it, and is begun anew. */
const staleAttemptMs = 2_000;
/** Nothing heard for so long: the line is asked whether it is there. */
export const pingAfterMs = 5_000;
/** Not answered for so long: the learner is told. Longer than a slow network's round trip. */
export const noticeMs = 2_000;
/** Not answered for so long: the line is dead. */
export const answerMs = 10_000;
/** The same for a page that was just woken: the lid was closed, and its line is dead more often than not. */
export const wakeAnswerMs = 3_000;

interface Attachment {
  readonly sink: TerminalSink;
  /** What fits into the page. */
  size: TerminalSize;
  /** On this socket the server has answered the last `attach`: what it sends is for this sink. */
  attached: boolean;
  /** Number of the next byte expected; null while the sink shows nothing, or half a screen. */
  received: number | null;
  /** All bytes before this number are on the screen. */
  parsed: number;
  acked: number;
  /** Bytes before this number were put out before this attachment. */
  replayEnd: number;
  /** A screen that is being given: the byte it stands for, how long it is, and how much of it has come. */
  screen: { offset: number; bytes: number; got: number; commands: readonly ShownCommand[] } | undefined;
  ackTimer: unknown;
}

type RunRequest = Extract<ClientMessage, { type: 'run' }>;
type MessageOf<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;

/** The server sent what cannot be: only a new start helps. */
class OutOfOrder extends Error {}

export class Connection {
  #state: ConnectionState = 'closed';
  #socket: Socket | undefined;
  #retryTimer: unknown;
  #helloTimer: unknown;
  /** Counts attempts, so that one that was given up is known when its socket opens after all. */
  #attempt = 0;
  #attemptAtMs = 0;
  #failures = 0;
  /** What {@link #failures} begins with: not 0 after the server ended a line for what this page did, until one works again. */
  #leastFailures = 0;
  #sandboxId: string | undefined;
  #role: Role = 'owner';
  #resting = false;
  #terminals: readonly TerminalInfo[] = [];
  readonly #attachments = new Map<string, Attachment>();
  /** By terminal: how many `attach` messages this socket's server has not answered. */
  readonly #unanswered = new Map<string, number>();
  /** By terminal, for as long as the session: offsets go on when a terminal is shown again. */
  readonly #input = new Map<string, InputQueue>();
  readonly #unansweredRuns = new Map<string, RunRequest>();
  #heardAtMs = 0;
  #pingedAtMs: number | undefined;
  #answerByMs = 0;
  #silent = false;
  #lookTimer: unknown;

  constructor(private readonly options: ConnectionOptions) {}

  get state(): ConnectionState {
    return this.#state;
  }

  get role(): Role {
    return this.#role;
  }

  open(): void {
    if (this.#state !== 'closed') return;
    this.#failures = 0;
    this.#setState('connecting');
    this.#connect();
  }

  /** Ends the connection for good; what is attached stays attached for the next {@link open}. */
  close(): void {
    this.#dropSocket();
    this.options.clock.clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    this.#unansweredRuns.clear();
    this.#setState('closed');
  }

  /** The network is said to be back, or the page is looked at again: tries at once, or finds out whether the line still is there. */
  wake(): void {
    if (this.#resting) {
      this.#resting = false;
      for (const [terminal, attachment] of this.#attachments) this.#sendAttach(terminal, attachment);
    }
    const now = this.options.clock.now();
    const isStale = now - this.#attemptAtMs >= staleAttemptMs;
    if (this.#state === 'connecting' && (this.#retryTimer !== undefined || isStale)) {
      this.#dropSocket();
      this.options.clock.clearTimeout(this.#retryTimer);
      this.#connect();
    } else if (this.#state === 'open') {
      this.#answerByMs = Math.min(
        this.#pingedAtMs === undefined ? Infinity : this.#answerByMs,
        now + wakeAnswerMs,
      );
      this.#ping(now);
    }
  }

  /**
   * Nobody looks: nothing more is sent to the terminals until {@link wake}, and then what is missing. A browser lets a page in the
   * background work once a second or a minute; programs must not wait for it.
   */
  rest(): void {
    this.#resting = true;
    for (const [terminal, attachment] of this.#attachments) {
      this.#clearAckTimer(attachment);
      attachment.attached = false;
      if (this.#infoOf(terminal)) this.#send({ type: 'detach', terminal });
    }
  }

  /** Output of the terminal goes to the sink from now on, beginning with its screen. */
  attach(terminal: string, sink: TerminalSink, size: TerminalSize): void {
    this.#clearAckTimer(this.#attachments.get(terminal));
    const attachment: Attachment = {
      sink,
      size,
      attached: false,
      received: null,
      parsed: 0,
      acked: 0,
      replayEnd: 0,
      screen: undefined,
      ackTimer: undefined,
    };
    this.#attachments.set(terminal, attachment);
    this.#sendAttach(terminal, attachment);
  }

  detach(terminal: string): void {
    this.#clearAckTimer(this.#attachments.get(terminal));
    if (this.#attachments.delete(terminal) && this.#infoOf(terminal))
      this.#send({ type: 'detach', terminal });
  }

  /** So much of the terminal fits into the page now. */
  viewport(terminal: string, size: TerminalSize): void {
    const attachment = this.#attachments.get(terminal);
    if (attachment === undefined) return;
    attachment.size = size;
    if (this.#role === 'owner' && this.#infoOf(terminal)) this.#send({ type: 'viewport', terminal, ...size });
  }

  /** The learner uses the terminal on this page. */
  activate(terminal: string): void {
    if (this.#role === 'owner' && this.#infoOf(terminal)) this.#send({ type: 'activate', terminal });
  }

  input(terminal: string, bytes: Uint8Array): InputResult {
    if (this.#role === 'viewer') return 'watching';
    if (this.#state !== 'open' || this.#infoOf(terminal) === undefined) return 'offline';
    if (!this.#inputOf(terminal).push(bytes, this.options.clock.now())) return 'too-much';
    this.#sendInput(terminal);
    return 'taken';
  }

  run(request: Omit<RunRequest, 'type'>): void {
    const message: RunRequest = { type: 'run', ...request };
    this.#unansweredRuns.set(request.runId, message);
    this.#sendRun(message);
  }

  check(stepId: string): void {
    this.#send({ type: 'check', stepId });
  }

  /**
   * Unlike a run this is never sent again: it deletes what was done, and must not do so by surprise.
   * @returns false when nothing was sent, because there is no connection
   */
  rewind(stepId: string): boolean {
    return this.#send({ type: 'rewind', stepId });
  }

  here(): void {
    this.#send({ type: 'here' });
  }

  /** @returns false when nothing was sent, because there is no connection; it is not sent later */
  openTerminal(host: HostName, requestId: string): boolean {
    return this.#send({ type: 'open-terminal', host, requestId });
  }

  /** As {@link openTerminal}. */
  closeTerminal(terminal: string): boolean {
    return this.#send({ type: 'close-terminal', terminal });
  }

  /** As {@link openTerminal}. */
  renameTerminal(terminal: string, name: string): boolean {
    return this.#send({ type: 'rename-terminal', terminal, name });
  }

  #connect(): void {
    const { clock } = this.options;
    this.#retryTimer = undefined;
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#attemptAtMs = clock.now();
    const isOurs = (): boolean => attempt === this.#attempt && this.#state !== 'closed';
    this.#helloTimer = clock.setTimeout(() => {
      this.#breakOff();
    }, helloMs + this.#longestWait());
    const opening = this.options.openSocket({
      onMessage: (data) => {
        if (isOurs() && this.#socket !== undefined) this.#onData(data);
      },
      onClose: (code) => {
        if (isOurs() && this.#socket !== undefined) this.#onClose(code);
      },
    });
    opening.then(
      (socket) => {
        if (isOurs()) this.#socket = socket;
        else socket.close();
      },
      (thrown: unknown) => {
        if (!isOurs()) return;
        const error = LabError.from(thrown, 'Connecting to the session');
        if (error.code === 'lost') {
          this.#breakOff();
        } else {
          this.close();
          this.options.onError(error);
        }
      },
    );
  }

  #onData(data: string | ArrayBuffer): void {
    this.#heardAtMs = this.options.clock.now();
    this.#pingedAtMs = undefined;
    this.#setSilent(false);
    try {
      if (typeof data === 'string') this.#onText(data);
      else this.#onFrame(decodeFrame(new Uint8Array(data)));
    } catch (thrown) {
      this.options.onError(LabError.from(thrown, 'Reading what the session sent'));
      if (!(thrown instanceof OutOfOrder)) return;
      this.#breakOffForFault();
    }
  }

  #onClose(code: number): void {
    if (code === closeCodes.sessionEnded) {
      this.close();
    } else if (code === closeCodes.forbidden) {
      this.close();
      this.options.onError(
        new LabError('forbidden', 'This page may not look at these terminals any longer.'),
      );
    } else if (code === closeCodes.badMessage || code === closeCodes.overloaded) {
      this.#breakOffForFault();
    } else {
      this.#breakOff();
    }
  }

  #breakOffForFault(): void {
    this.#leastFailures = faultFailures;
    this.#failures = Math.max(this.#failures, faultFailures);
    this.#breakOff();
  }

  /** This line is of no use any more: the next one is tried after a while. */
  #breakOff(): void {
    this.#dropSocket();
    this.#setState('connecting');
    const longest = this.#longestWait();
    this.#failures += 1;
    // Between half and all of it: a room full of learners must not come back in one instant.
    const wait = longest * (0.5 + this.options.clock.random() / 2);
    this.#retryTimer = this.options.clock.setTimeout(() => {
      this.#connect();
    }, wait);
  }

  #longestWait(): number {
    return Math.min(lastRetryMs, firstRetryMs * 2 ** this.#failures);
  }

  #dropSocket(): void {
    const { clock } = this.options;
    const socket = this.#socket;
    this.#socket = undefined;
    this.#attempt += 1;
    clock.clearTimeout(this.#helloTimer);
    clock.clearTimeout(this.#lookTimer);
    this.#pingedAtMs = undefined;
    this.#setSilent(false);
    this.#unanswered.clear();
    for (const attachment of this.#attachments.values()) {
      this.#clearAckTimer(attachment);
      attachment.attached = false;
    }
    socket?.close();
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.options.onState(state);
  }

  #setSilent(silent: boolean): void {
    if (silent === this.#silent) return;
    this.#silent = silent;
    this.options.onSilence(silent ? this.#heardAtMs : null);
  }

  /** Looks again and again whether the line is still there. */
  #look(): void {
    const { clock } = this.options;
    const now = clock.now();
    if (this.#pingedAtMs === undefined) {
      if (now - this.#heardAtMs >= pingAfterMs) {
        this.#answerByMs = now + answerMs;
        this.#ping(now);
        return;
      }
    } else if (now >= this.#answerByMs) {
      this.#breakOff();
      return;
    } else if (now - this.#pingedAtMs >= noticeMs) {
      this.#setSilent(true);
    }
    this.#lookAgain(now);
  }

  #lookAgain(now: number): void {
    const { clock } = this.options;
    let at = this.#heardAtMs + pingAfterMs;
    if (this.#pingedAtMs !== undefined)
      at = this.#silent ? this.#answerByMs : Math.min(this.#pingedAtMs + noticeMs, this.#answerByMs);
    clock.clearTimeout(this.#lookTimer);
    this.#lookTimer = clock.setTimeout(
      () => {
        this.#look();
      },
      Math.max(0, at - now),
    );
  }

  #ping(now: number): void {
    this.#pingedAtMs ??= now;
    this.#send({ type: 'ping' });
    this.#lookAgain(now);
  }

  #infoOf(terminal: string): TerminalInfo | undefined {
    return this.#terminals.find(({ id }) => id === terminal);
  }

  #inputOf(terminal: string): InputQueue {
    const known = this.#input.get(terminal);
    if (known !== undefined) return known;
    const made = new InputQueue();
    this.#input.set(terminal, made);
    return made;
  }

  /** @returns false when there is no connection */
  #send(message: ClientMessage): boolean {
    if (this.#state !== 'open') return false;
    this.#socket?.send(JSON.stringify(message));
    return true;
  }

  #sendAttach(terminal: string, attachment: Attachment): void {
    attachment.attached = false;
    // Half a screen is none.
    attachment.screen = undefined;
    if (this.#state !== 'open' || this.#resting || this.#infoOf(terminal) === undefined) return;
    this.#unanswered.set(terminal, (this.#unanswered.get(terminal) ?? 0) + 1);
    const { received: from, size } = attachment;
    this.#send({ type: 'attach', terminal, from, ...size, clientId: this.options.clientId });
  }

  #sendInput(terminal: string): void {
    const info = this.#infoOf(terminal);
    // Before that it is not known from where the server counts on; then all of it is sent.
    if (this.#state !== 'open' || info === undefined || this.#attachments.get(terminal)?.attached !== true)
      return;
    const queue = this.#inputOf(terminal);
    for (let next = queue.take(); next !== undefined; next = queue.take()) {
      this.#socket?.send(encodeFrame({ kind: 'input', channel: info.channel, ...next }));
    }
  }

  #sendRun(request: RunRequest): void {
    // What was typed before the click comes before it: after a break it is sent when the terminal is attached again.
    if (this.#attachments.get(request.terminal)?.attached === false) return;
    this.activate(request.terminal);
    this.#send(request);
  }

  #onText(text: string): void {
    const message = parseMessage(serverMessageSchema, text);
    switch (message.type) {
      case 'hello':
        this.#onHello(message);
        break;
      case 'terminals':
        this.#onTerminals(message.terminals);
        break;
      case 'attached':
        this.#onAttached(message);
        break;
      case 'screen':
        this.#onScreen(message);
        break;
      case 'size':
        this.#attachedTo(message.terminal)?.sink.resize(sizeOf(message), message.active);
        break;
      case 'mark':
        this.#attachedTo(message.terminal)?.sink.mark(message.mark);
        break;
      case 'input-ack':
        this.#inputOf(message.terminal).ack(message.offset);
        this.#sendInput(message.terminal);
        break;
      case 'run':
        this.#unansweredRuns.delete(message.run.runId);
        break;
      case 'run-refused':
        this.#unansweredRuns.delete(message.runId);
        break;
      case 'rewound':
        this.#unansweredRuns.clear();
        break;
      default:
        break;
    }
    this.options.onMessage(message);
    if (message.type === 'ended') this.close();
  }

  #onHello(hello: MessageOf<'hello'>): void {
    const { clock } = this.options;
    clock.clearTimeout(this.#helloTimer);
    this.#failures = this.#leastFailures;
    this.#role = hello.role;
    this.#terminals = hello.terminals;
    if (this.#sandboxId !== undefined && this.#sandboxId !== hello.sandboxId) {
      this.#unansweredRuns.clear();
      this.#input.clear();
      for (const attachment of this.#attachments.values()) {
        attachment.received = null;
        attachment.sink.restart();
      }
    }
    this.#sandboxId = hello.sandboxId;
    this.#setState('open');
    for (const [terminal, attachment] of this.#attachments) this.#sendAttach(terminal, attachment);
    for (const request of this.#unansweredRuns.values()) this.#sendRun(request);
    this.#lookAgain(clock.now());
  }

  #onTerminals(terminals: readonly TerminalInfo[]): void {
    const before = this.#terminals;
    this.#terminals = terminals;
    for (const { id } of before) {
      if (!terminals.some((one) => one.id === id)) this.#input.delete(id);
    }
    for (const { id } of terminals) {
      const attachment = this.#attachments.get(id);
      if (attachment !== undefined && !before.some((one) => one.id === id)) this.#sendAttach(id, attachment);
    }
  }

  /** The attachment, if the server has answered it: before that, what comes belongs to the one before. */
  #attachedTo(terminal: string): Attachment | undefined {
    const attachment = this.#attachments.get(terminal);
    return attachment?.attached === true ? attachment : undefined;
  }

  #onAttached(message: MessageOf<'attached'>): void {
    const { terminal, offset } = message;
    const left = (this.#unanswered.get(terminal) ?? 0) - 1;
    this.#unanswered.set(terminal, left);
    const attachment = this.#attachments.get(terminal);
    if (attachment === undefined || left !== 0) return;
    this.#failures = 0;
    this.#leastFailures = 0;
    attachment.attached = true;
    attachment.replayEnd = message.end ?? offset;
    if (message.screen) {
      attachment.received = null;
    } else if (attachment.received === null) {
      attachment.sink.restart(sizeOf(message));
      this.#continueFrom(attachment, offset);
    } else {
      attachment.sink.resize(sizeOf(message));
    }
    // The server takes each line for that of another page.
    if (attachment.sink.inUse()) this.activate(terminal);
    const keys = this.#inputOf(terminal).resume(message.inputOffset, this.options.clock.now());
    if (keys > 0) this.options.onInputLost(terminal, keys);
    this.#sendInput(terminal);
    for (const request of this.#unansweredRuns.values()) {
      if (request.terminal === terminal) this.#sendRun(request);
    }
  }

  #onScreen(message: MessageOf<'screen'>): void {
    const attachment = this.#attachedTo(message.terminal);
    if (attachment === undefined) return;
    const { offset, bytes, commands } = message;
    attachment.received = null;
    attachment.sink.restart(sizeOf(message));
    attachment.screen = { offset, bytes, got: 0, commands };
    if (bytes === 0) this.#endScreen(attachment);
  }

  #endScreen(attachment: Attachment): void {
    const { screen } = attachment;
    if (screen === undefined) return;
    attachment.screen = undefined;
    attachment.sink.commands(screen.commands);
    this.#continueFrom(attachment, screen.offset);
  }

  #continueFrom(attachment: Attachment, offset: number): void {
    attachment.received = offset;
    attachment.parsed = offset;
    attachment.acked = offset;
  }

  #onFrame(frame: Frame): void {
    const info = this.#terminals.find(({ channel }) => channel === frame.channel);
    const attachment = info && this.#attachedTo(info.id);
    if (info === undefined || attachment === undefined) return;
    if (frame.kind === 'screen') this.#onScreenFrame(info.id, attachment, frame);
    else if (frame.kind === 'output') this.#onOutput(info.id, attachment, frame);
  }

  #onScreenFrame(terminal: string, attachment: Attachment, { offset, bytes }: Frame): void {
    const { screen } = attachment;
    if (screen?.got !== offset || offset + bytes.length > screen.bytes) {
      throw this.#outOfOrder(attachment, 'A piece of a terminal’s screen came out of its turn.');
    }
    screen.got += bytes.length;
    const isLast = screen.got === screen.bytes;
    attachment.sink.write(bytes, true, () => {
      // Its bytes are not counted, but that it is there may be waited for.
      if (isLast && attachment.parsed === screen.offset) this.#ackWhenDue(terminal, attachment);
    });
    if (isLast) this.#endScreen(attachment);
  }

  #onOutput(terminal: string, attachment: Attachment, { offset, bytes }: Frame): void {
    const { received } = attachment;
    if (received === null || offset > received) {
      throw this.#outOfOrder(attachment, 'Output of a terminal is missing.');
    }
    const end = offset + bytes.length;
    if (end <= received) return;
    const fresh = bytes.subarray(received - offset);
    attachment.received = end;
    const replayed = Math.max(0, Math.min(fresh.length, attachment.replayEnd - received));
    const write = (part: Uint8Array, isReplayed: boolean, partEnd: number): void => {
      if (part.length === 0) return;
      attachment.sink.write(part, isReplayed, () => {
        // A restart may have come between: numbers of before it say nothing any more.
        if (attachment.received === null || partEnd > attachment.received) return;
        attachment.parsed = Math.max(attachment.parsed, partEnd);
        this.#ackWhenDue(terminal, attachment);
      });
    };
    write(fresh.subarray(0, replayed), true, received + replayed);
    write(fresh.subarray(replayed), false, end);
  }

  /** What is shown cannot be gone on with: the next connection asks for the screen. */
  #outOfOrder(attachment: Attachment, what: string): OutOfOrder {
    attachment.received = null;
    attachment.screen = undefined;
    return new OutOfOrder(what);
  }

  #clearAckTimer(attachment: Attachment | undefined): void {
    if (attachment === undefined) return;
    this.options.clock.clearTimeout(attachment.ackTimer);
    attachment.ackTimer = undefined;
  }

  #ackWhenDue(terminal: string, attachment: Attachment): void {
    if (this.#attachments.get(terminal) !== attachment || !attachment.attached) return;
    const sendAck = (): void => {
      this.#clearAckTimer(attachment);
      attachment.acked = attachment.parsed;
      this.#send({ type: 'ack', terminal, offset: attachment.acked });
    };
    if (attachment.parsed - attachment.acked >= ackBytes) sendAck();
    else attachment.ackTimer ??= this.options.clock.setTimeout(sendAck, ackMs);
  }
}

const sizeOf = ({ columns, rows }: TerminalSize): TerminalSize => ({ columns, rows });
