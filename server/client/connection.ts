/**
 * A page's connection to its session: a WebSocket that reconnects automatically and carries the terminals' bytes.
 *
 * It uses no DOM, no framework and no HTTP. Browser, lesson test, benchmarks and unit tests share this code and bring their own sockets
 * and clocks. The socket's state and its attempts are in line.ts, a terminal's bytes in terminal-stream.ts, typed bytes in
 * input-queue.ts. The invariants that span these files:
 * - Each typed byte reaches the terminal once and in order, or the learner is told that it did not. While the connection is known to be
 *   down, input is refused at once and never kept.
 * - A run request is repeated with the same id on each new socket until the server reports its outcome. A rewind drops it, because the
 *   learner did not mean it for the earlier state.
 * - A silent connection is detected within {@link pingAfterMs} + {@link answerMs}.
 */
import '../protocol/zod-without-eval';
import { LabError } from '../protocol/errors';
import { decodeFrame, encodeFrame } from '../protocol/frames';
import type { HostName } from '../protocol/hosts';
import {
  closeCodes,
  parseMessage,
  serverMessageSchema,
  type ClientMessage,
  type ServerMessage,
} from '../protocol/messages';
import type { Role } from '../protocol/session';
import type { TerminalInfo } from '../protocol/terminal';
import { closedLine, deadlineOf, next, silentSince, type Line, type LineEvent } from './line';
import type { Clock, Socket, SocketHandlers } from './socket';
import { OutOfOrder, TerminalStream, type TerminalSink, type TerminalSize } from './terminal-stream';

/** `open` begins with the server's hello, not with the socket, because nothing can be attached earlier. */
export type ConnectionState = 'open' | 'connecting' | 'closed';

/** The result of typing. Every result but `taken` means that all bytes were refused. */
export type InputResult =
  | 'taken'
  /** There is no connection. */
  | 'offline'
  /** The queue is full. */
  | 'too-much'
  /** This page is a viewer's. */
  | 'watching';

export interface ConnectionOptions {
  /**
   * Gets a ticket and opens a socket with it.
   * @throws LabError with a code other than `lost` when a retry cannot help
   */
  openSocket: (handlers: SocketHandlers) => Promise<Socket>;
  onState: (state: ConnectionState) => void;
  /** The connection is silent: when the last message came, by the clock. Null when it answers again or was abandoned. */
  onSilence: (sinceMs: number | null) => void;
  /** Receives each message of the server once, after the connection has processed it. */
  onMessage: (message: ServerMessage) => void;
  onError: (error: LabError) => void;
  /** Input from before a break did not arrive and is too old to send now. */
  onInputLost: (terminal: string, keys: number) => void;
  clock: Clock;
  /** A UUID, one for each page load. The server counts input per client id. */
  clientId: string;
}

type RunRequest = Extract<ClientMessage, { type: 'run' }>;
type MessageOf<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;

const stateOf = ({ state }: Line): ConnectionState =>
  state === 'waiting' || state === 'opening' ? 'connecting' : state;

/** The number and socket of the current attempt; undefined when there is none. */
const attemptOf = (line: Line): { attempt: number; socket: Socket | undefined } | undefined =>
  line.state === 'opening' || line.state === 'open' ? line : undefined;

export class Connection {
  readonly #options: ConnectionOptions;
  #line = closedLine;
  /** Fires at {@link deadlineOf} the state, or earlier. */
  #timer: { id: unknown; atMs: number } | undefined;
  #sandboxId: string | undefined;
  #role: Role = 'owner';
  #terminals: readonly TerminalInfo[] = [];
  /** The page is hidden, so it receives no output. */
  #resting = false;
  readonly #streams = new Map<string, TerminalStream>();
  /** Unanswered run requests, by run id. */
  readonly #unansweredRuns = new Map<string, RunRequest>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get state(): ConnectionState {
    return stateOf(this.#line);
  }

  get role(): Role {
    return this.#role;
  }

  open(): void {
    this.#go({ type: 'open' });
  }

  /** Ends the connection for good. The next {@link open} attaches the same terminals again. */
  close(): void {
    this.#unansweredRuns.clear();
    this.#go({ type: 'close' });
  }

  /** The network may be back, or the page is visible again. Retries at once, or pings an open connection. */
  wake(): void {
    if (this.#resting) {
      this.#resting = false;
      this.#attachAll();
    }
    this.#go({ type: 'wake' });
  }

  /**
   * The page is hidden: stops all output until {@link wake}, which requests the missing part. A browser runs a background page only
   * once a second or a minute, and programs must not wait for it.
   */
  rest(): void {
    this.#resting = true;
    for (const [terminal, stream] of this.#streams) {
      if (stream.isHidden) continue;
      stream.detach();
      if (this.#infoOf(terminal)) this.#send({ type: 'detach', terminal });
    }
  }

  /**
   * Sends the terminal's output to the sink from now on.
   * @param from the sink already shows all output before this byte; null: it shows nothing and gets the screen first
   */
  attach(terminal: string, sink: TerminalSink, size: TerminalSize, from: number | null = null): void {
    const stream = this.#streamOf(terminal);
    stream.show(sink, size, from);
    this.#attach(terminal, stream);
  }

  detach(terminal: string): void {
    const stream = this.#streams.get(terminal);
    if (stream === undefined || stream.isHidden) return;
    stream.hide();
    if (this.#infoOf(terminal)) this.#send({ type: 'detach', terminal });
    else this.#streams.delete(terminal);
  }

  /** Offset of the next output byte that the terminal's sink needs; null while it shows nothing or half a screen. */
  offset(terminal: string): number | null {
    return this.#streams.get(terminal)?.offset ?? null;
  }

  /** Reports a new size that fits on the page. */
  viewport(terminal: string, size: TerminalSize): void {
    if (this.#streams.get(terminal)?.fit(size) !== true) return;
    if (this.#role === 'owner' && this.#infoOf(terminal)) this.#send({ type: 'viewport', terminal, ...size });
  }

  /** Makes this page the terminal's active one. */
  activate(terminal: string): void {
    if (this.#role === 'owner' && this.#infoOf(terminal)) this.#send({ type: 'activate', terminal });
  }

  input(terminal: string, bytes: Uint8Array): InputResult {
    if (this.#role === 'viewer') return 'watching';
    if (this.#line.state !== 'open' || this.#infoOf(terminal) === undefined) return 'offline';
    return this.#streamOf(terminal).type(bytes) ? 'taken' : 'too-much';
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
   * Unlike a run, a rewind is never repeated: it deletes work, so it must not happen later by surprise.
   * @returns false when nothing was sent because there is no connection
   */
  rewind(stepId: string): boolean {
    return this.#send({ type: 'rewind', stepId });
  }

  here(): void {
    this.#send({ type: 'here' });
  }

  /** Not repeated later. @returns false when nothing was sent because there is no connection */
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

  // The socket

  /** Applies an event to the state, then acts on the change: sockets, timer, ping, and callbacks last. */
  #go(event: LineEvent): void {
    const { clock, onSilence, onState } = this.#options;
    const before = this.#line;
    const line = next(before, event, { nowMs: clock.now(), random: clock.random() });
    this.#line = line;
    this.#setTimer(before.state !== line.state);

    const left = attemptOf(before);
    const entered = attemptOf(line);
    if (left !== undefined && left.attempt !== entered?.attempt) {
      for (const stream of this.#streams.values()) stream.lineLost();
      left.socket?.close();
    }
    if (silentSince(before) !== silentSince(line)) onSilence(silentSince(line));
    if (stateOf(before) !== stateOf(line)) onState(stateOf(line));
    // A callback may have changed the state again.
    if (this.#line !== line) return;
    if (line.state === 'opening' && line.attempt !== left?.attempt) this.#openSocket(line.attempt);
    if (line.state === 'open' && line.liveness.state === 'pinged' && !isPinged(before))
      this.#send({ type: 'ping' });
  }

  /** An early timer does no harm, so a busy connection does not reset it for each message. */
  #setTimer(isNewState: boolean): void {
    const { clock } = this.#options;
    const atMs = deadlineOf(this.#line);
    if (!isNewState && this.#timer !== undefined && atMs !== undefined && this.#timer.atMs <= atMs) return;
    clock.clearTimeout(this.#timer?.id);
    this.#timer = undefined;
    if (atMs === undefined) return;
    const id = clock.setTimeout(
      () => {
        this.#timer = undefined;
        this.#go({ type: 'time' });
      },
      Math.max(0, atMs - clock.now()),
    );
    this.#timer = { id, atMs };
  }

  #openSocket(attempt: number): void {
    const isCurrent = (): boolean => attemptOf(this.#line)?.attempt === attempt;
    const hasSocket = (): boolean => isCurrent() && attemptOf(this.#line)?.socket !== undefined;
    const opening = this.#options.openSocket({
      onMessage: (data) => {
        if (hasSocket()) this.#onData(data);
      },
      onClose: (code) => {
        if (hasSocket()) this.#onClose(code);
      },
    });
    opening.then(
      (socket) => {
        if (isCurrent()) this.#go({ type: 'socket', socket });
        else socket.close();
      },
      (thrown: unknown) => {
        if (!isCurrent()) return;
        const error = LabError.from(thrown, 'Connecting to the session');
        if (error.code === 'lost') {
          this.#go({ type: 'failed', fault: false });
        } else {
          this.close();
          this.#options.onError(error);
        }
      },
    );
  }

  #onClose(code: number): void {
    switch (code) {
      case closeCodes.sessionEnded:
        this.close();
        break;
      case closeCodes.forbidden:
        this.close();
        this.#options.onError(new LabError('forbidden', 'This page may no longer watch these terminals.'));
        break;
      case closeCodes.badMessage:
      case closeCodes.overloaded:
        this.#go({ type: 'failed', fault: true });
        break;
      default:
        this.#go({ type: 'failed', fault: false });
    }
  }

  /** @returns false when there is no connection */
  #send(message: ClientMessage): boolean {
    if (this.#line.state !== 'open') return false;
    this.#line.socket.send(JSON.stringify(message));
    return true;
  }

  // Messages

  #onData(data: string | ArrayBuffer | Uint8Array): void {
    this.#go({ type: 'heard' });
    try {
      if (typeof data === 'string') this.#onMessage(parseMessage(serverMessageSchema, data));
      else this.#onFrame(data instanceof Uint8Array ? data : new Uint8Array(data));
    } catch (thrown) {
      this.#options.onError(LabError.from(thrown, 'Reading what the session sent'));
      if (thrown instanceof OutOfOrder) this.#go({ type: 'failed', fault: true });
    }
  }

  #onFrame(data: Uint8Array): void {
    const frame = decodeFrame(data);
    const info = this.#terminals.find(({ channel }) => channel === frame.channel);
    // Ignore the output of a terminal that was just closed.
    if (info !== undefined) this.#streams.get(info.id)?.onFrame(frame);
  }

  #onMessage(message: ServerMessage): void {
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
        this.#streams.get(message.terminal)?.onScreen(message);
        break;
      case 'size':
        this.#streams.get(message.terminal)?.onSize(message);
        break;
      case 'mark':
        this.#streams.get(message.terminal)?.onMark(message.mark);
        break;
      case 'input-ack':
        this.#streams.get(message.terminal)?.onInputAck(message.offset);
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
      // Only the page uses these. A pong has no effect beyond being received.
      case 'pong':
      case 'pair':
      case 'step':
      case 'values':
      case 'prompt':
      case 'deadline':
      case 'saves':
      case 'ended':
      case 'error':
        break;
      default:
        message satisfies never;
    }
    this.#options.onMessage(message);
    if (message.type === 'ended') this.close();
  }

  #onHello(hello: MessageOf<'hello'>): void {
    this.#role = hello.role;
    this.#terminals = hello.terminals;
    if (this.#sandboxId !== undefined && this.#sandboxId !== hello.sandboxId) {
      this.#unansweredRuns.clear();
      for (const stream of this.#streams.values()) stream.forget();
    }
    this.#sandboxId = hello.sandboxId;
    this.#go({ type: 'hello' });
    this.#attachAll();
    for (const request of this.#unansweredRuns.values()) this.#sendRun(request);
  }

  #onTerminals(terminals: readonly TerminalInfo[]): void {
    const before = this.#terminals;
    this.#terminals = terminals;
    for (const { id } of before) {
      const stream = this.#streams.get(id);
      if (stream === undefined || terminals.some((one) => one.id === id)) continue;
      if (stream.isHidden) this.#streams.delete(id);
      else stream.forgetInput();
    }
    for (const { id } of terminals) {
      const stream = this.#streams.get(id);
      if (stream !== undefined && !before.some((one) => one.id === id)) this.#attach(id, stream);
    }
  }

  #onAttached(message: MessageOf<'attached'>): void {
    const { terminal } = message;
    const stream = this.#streams.get(terminal);
    const answered = stream?.onAttached(message);
    if (stream === undefined || answered === undefined) return;
    this.#go({ type: 'attached' });
    // To the server, each socket is a new page.
    if (stream.isInUse) this.activate(terminal);
    if (answered.lostKeys > 0) this.#options.onInputLost(terminal, answered.lostKeys);
    for (const request of this.#unansweredRuns.values()) {
      if (request.terminal === terminal) this.#sendRun(request);
    }
  }

  // Terminals

  #infoOf(terminal: string): TerminalInfo | undefined {
    return this.#terminals.find(({ id }) => id === terminal);
  }

  #streamOf(terminal: string): TerminalStream {
    const known = this.#streams.get(terminal);
    if (known !== undefined) return known;
    const { clock, clientId } = this.#options;
    const line = {
      send: (message: ClientMessage) => this.#send(message),
      sendInput: (id: string, offset: number, bytes: Uint8Array) => {
        this.#sendInput(id, offset, bytes);
      },
    };
    const made = new TerminalStream(terminal, line, clock, clientId);
    this.#streams.set(terminal, made);
    return made;
  }

  #attachAll(): void {
    for (const [terminal, stream] of this.#streams) this.#attach(terminal, stream);
  }

  #attach(terminal: string, stream: TerminalStream): void {
    const isPossible = this.#line.state === 'open' && !this.#resting && this.#infoOf(terminal) !== undefined;
    if (isPossible) stream.attach();
    else stream.detach();
  }

  #sendInput(terminal: string, offset: number, bytes: Uint8Array): void {
    const info = this.#infoOf(terminal);
    if (this.#line.state !== 'open' || info === undefined) return;
    this.#line.socket.send(encodeFrame({ kind: 'input', channel: info.channel, offset, bytes }));
  }

  #sendRun(request: RunRequest): void {
    const stream = this.#streams.get(request.terminal);
    // Keys typed before the click must arrive before the run. After a break, the run waits for the new attachment.
    if (stream !== undefined && !stream.isHidden && !stream.isAttached) return;
    this.activate(request.terminal);
    this.#send(request);
  }
}

const isPinged = (line: Line): boolean => line.state === 'open' && line.liveness.state !== 'heard';
