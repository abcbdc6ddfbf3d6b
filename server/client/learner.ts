/**
 * A learner without a browser, for the lesson test, other tests and benchmarks. It uses the page's own {@link Connection} and gateway
 * client. Its terminals keep their output, and tests can wait for it.
 *
 * Unlike a page, it reconnects only on request, so a test knows which connection a message came from.
 */
import { randomUUID } from 'node:crypto';
import { LabError } from '../protocol/errors';
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import type { SessionInfo } from '../protocol/session';
import type { TerminalInfo } from '../protocol/terminal';
import { Connection } from './connection';
import { GatewayClient } from './gateway-client';
import { NodeBrowser, type NodeSocket } from './node-browser';
import { systemClock, type Socket, type SocketHandlers } from './socket';
import type { TerminalSink, TerminalSize } from './terminal-stream';

type MessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

/** Long, because a gateway on a busy machine must find the runner first. */
const connectTimeoutMs = 30_000;

/** A connection attempt. */
interface Opening {
  /** Gets a ticket. @returns the socket's path */
  socketPath: () => Promise<string>;
  origin: string;
  resolve: (hello: MessageOf<'hello'>) => void;
  reject: (error: unknown) => void;
}

export class Learner {
  readonly connection: Connection;
  readonly gateway: GatewayClient;
  /** All messages received over this connection, oldest first. */
  readonly messages: ServerMessage[] = [];
  /** The output of each terminal, by terminal id. A repainted screen replaces the earlier output. */
  readonly screens = new Map<string, Buffer>();
  /** Receives each terminal's output as it arrives. */
  onOutput: ((terminal: string, bytes: Uint8Array) => void) | undefined;
  /** Code with which the runner or the network closed the socket; undefined while it is open. */
  closeCode: number | undefined;
  /** The session's terminals, in opening order. */
  terminals: readonly TerminalInfo[] = [];
  #socket: NodeSocket | undefined;
  #opening: Opening | undefined;
  /** Why the connection failed. */
  #failure: LabError | undefined;
  /** Sizes of the attached terminals. */
  readonly #sizes = new Map<string, TerminalSize>();
  /** The buffers behind `screens`; each screen is the beginning of its buffer. */
  readonly #rooms = new Map<string, Buffer>();
  readonly #wakeups = new Set<() => void>();

  /** @param browser that of another learner, to open a second page in it */
  constructor(
    url: string,
    readonly browser = new NodeBrowser(url),
  ) {
    this.gateway = new GatewayClient(browser.fetchPath);
    this.connection = new Connection({
      openSocket: (handlers) => this.#openSocket(handlers),
      onState: () => undefined,
      onSilence: () => undefined,
      onMessage: (message) => {
        this.#onMessage(message);
      },
      onError: (error) => {
        this.#onError(error);
      },
      onInputLost: (terminal, keys) => {
        this.#onError(
          new LabError('lost', `${keys} keys typed into ${terminal} before a break never arrived.`),
        );
      },
      clock: systemClock,
      clientId: randomUUID(),
    });
  }

  /** Sends any request of the gateway's API. @param path the part after `/api` @throws LabError of the gateway */
  request(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    return this.gateway.request(method, `/api${path}`, body);
  }

  /** @throws LabError of the gateway; `no-session` when the gateway gave only a queue position */
  async startSession(lessonId: string): Promise<SessionInfo> {
    const { session } = await this.gateway.postSession(lessonId);
    if (!session) throw new LabError('no-session', 'The gateway gave no session.');
    return session;
  }

  /** Connects with a fresh ticket and waits for `hello`. Attaches the same terminals as before. */
  connect(): Promise<MessageOf<'hello'>> {
    return this.#open(() => this.gateway.sessionSocket(), this.browser.url);
  }

  /**
   * Connects with a ticket, whoever it was issued to.
   * @throws Error of the socket when the handshake is refused
   */
  open(ticket: string, origin = this.browser.url): Promise<MessageOf<'hello'>> {
    const path = this.gateway.socketWith(ticket);
    return this.#open(() => Promise.resolve(path), origin);
  }

  /** Sends a message directly, bypassing the connection's own logic. */
  send(message: ClientMessage): void {
    this.sendRaw(JSON.stringify(message));
  }

  /** Sends anything, valid or not. */
  sendRaw(data: string | Uint8Array): void {
    this.#socket?.send(data);
  }

  /** Attaches a terminal, on this connection and later ones. */
  attach(terminal: string, columns = 120, rows = 40): void {
    const size = { columns, rows };
    const before = this.#sizes.get(terminal);
    this.#sizes.set(terminal, size);
    if (before === undefined) this.connection.attach(terminal, this.#sink(terminal), size);
    else if (before.columns !== columns || before.rows !== rows) this.connection.viewport(terminal, size);
  }

  /** Types like a keyboard. Waits until the terminal is attached. @throws Error when there is no connection */
  type(terminal: string, text: string): void {
    const result = this.connection.input(terminal, Buffer.from(text));
    if (result !== 'taken') throw new Error(`Typing into ${terminal} was refused: ${result}.`);
  }

  /** Offset of the shown output; null before there is any. */
  offset(terminal: string): number | null {
    return this.connection.offset(terminal);
  }

  /** Waits until the terminal's shell is at its prompt (`idle`) or a program runs in it. */
  async untilPrompt(terminal: string, idle: boolean, timeoutMs: number): Promise<void> {
    const isIdle = () => this.latest('prompt', (prompt) => prompt.terminal === terminal)?.idle;
    await this.until(() => isIdle() === idle, timeoutMs, idle ? 'prompt' : 'running program');
  }

  screen(terminal: string): string {
    return (this.screens.get(terminal) ?? Buffer.alloc(0)).toString();
  }

  /** Length of {@link screen} in bytes, without copying it. */
  shownBytes(terminal: string): number {
    return this.screens.get(terminal)?.length ?? 0;
  }

  /** The newest message of a type, if any came. */
  latest<Type extends ServerMessage['type']>(
    type: Type,
    matches: (message: MessageOf<Type>) => boolean = () => true,
  ): MessageOf<Type> | undefined {
    return this.messages.findLast(
      (message): message is MessageOf<Type> => message.type === type && matches(message as MessageOf<Type>),
    );
  }

  /**
   * Waits for a message of a type. Earlier messages count too, unless `after` skips them.
   * @param after number of messages to skip (`messages.length` for only new ones)
   * @throws Error when none comes in time
   */
  async waitFor<Type extends ServerMessage['type']>(
    type: Type,
    matches: (message: MessageOf<Type>) => boolean,
    timeoutMs: number,
    after = 0,
  ): Promise<MessageOf<Type>> {
    let found: MessageOf<Type> | undefined;
    await this.until(
      () => {
        found = this.messages
          .slice(after)
          .find(
            (message): message is MessageOf<Type> =>
              message.type === type && matches(message as MessageOf<Type>),
          );
        return found !== undefined;
      },
      timeoutMs,
      `a message ${type}`,
    );
    return found as MessageOf<Type>;
  }

  /** Waits for the runner's first answer to a run. */
  async runAnswer(
    runId: string,
    timeoutMs: number,
    after = 0,
  ): Promise<MessageOf<'run'> | MessageOf<'run-refused'>> {
    const find = () =>
      this.messages
        .slice(after)
        .find(
          (message): message is MessageOf<'run'> | MessageOf<'run-refused'> =>
            (message.type === 'run' && message.run.runId === runId) ||
            (message.type === 'run-refused' && message.runId === runId),
        );
    await this.until(() => find() !== undefined, timeoutMs, 'answer to the run');
    return find() as NonNullable<ReturnType<typeof find>>;
  }

  /**
   * Waits until a condition holds. Checks it again whenever a message or output arrives.
   * @throws Error naming `what` when it never does; LabError when the connection failed meanwhile
   */
  async until(condition: () => boolean, timeoutMs: number, what: string): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!condition()) {
      if (this.#failure !== undefined) throw this.#failure;
      const left = deadline - Date.now();
      if (left <= 0)
        throw new Error(`No ${what} in ${timeoutMs} ms; the connection is ${this.connection.state}.`);
      const ended = this.latest('ended');
      if (ended && this.closeCode !== undefined) {
        const lost = this.latest('pair', ({ pair }) => pair.error !== undefined)?.pair.error;
        throw new Error(`No ${what}: the session has ended (${ended.reason}). ${lost?.message ?? ''}`);
      }
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wakeups.add(resolve);
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
      this.#wakeups.clear();
    }
  }

  /** Cuts the connection without a close frame, like a lost network. */
  cut(): void {
    this.#socket?.terminate();
  }

  async #open(socketPath: () => Promise<string>, origin: string): Promise<MessageOf<'hello'>> {
    this.connection.close();
    this.#failure = undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<MessageOf<'hello'>>((resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error(`No hello in ${connectTimeoutMs} ms.`));
        }, connectTimeoutMs);
        this.#opening = { socketPath, origin, resolve, reject };
        this.connection.open();
      });
    } catch (error) {
      this.connection.close();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#opening = undefined;
    }
  }

  async #openSocket(handlers: SocketHandlers): Promise<Socket> {
    const opening = this.#opening;
    if (opening === undefined) throw new LabError('cancelled', 'The test alone decides when to reconnect.');
    const path = await opening.socketPath().catch((error: unknown) => {
      opening.reject(error);
      throw error;
    });
    const socket: NodeSocket = this.browser.openSocket(
      path,
      {
        onOpen: () => {
          this.#socket = socket;
          this.closeCode = undefined;
          this.messages.length = 0;
        },
        onMessage: handlers.onMessage,
        onError: opening.reject,
        onClose: (code) => {
          // Ignore the close of a refused handshake or of an earlier socket.
          if (this.#socket === socket) this.closeCode = code;
          handlers.onClose(code);
          this.#wake();
        },
      },
      opening.origin,
    );
    return {
      send: (data) => {
        socket.send(data);
      },
      close: () => {
        // The runner closes the line of a session that has ended, with a code that is of interest.
        if (this.#socket !== socket || this.latest('ended') === undefined) socket.close();
      },
    };
  }

  #onMessage(message: ServerMessage): void {
    this.messages.push(message);
    if (message.type === 'hello' || message.type === 'terminals') this.terminals = message.terminals;
    if (message.type === 'hello') this.#opening?.resolve(message);
    this.#wake();
  }

  #onError(error: LabError): void {
    if (error.code === 'cancelled') return;
    this.#failure = error;
    this.#opening?.reject(error);
    this.#wake();
  }

  #sink(terminal: string): TerminalSink {
    return {
      restart: () => {
        this.screens.set(terminal, Buffer.alloc(0));
      },
      write: (bytes, _replayed, parsed) => {
        this.#show(terminal, bytes);
        parsed();
        this.#wake();
      },
      commands: () => {
        this.#wake();
      },
      resize: () => undefined,
      mark: () => undefined,
      inUse: () => false,
    };
  }

  /** Appends in place to a buffer that doubles, because tests flood terminals. */
  #show(terminal: string, bytes: Uint8Array): void {
    const { length } = this.screens.get(terminal) ?? Buffer.alloc(0);
    let room = this.#rooms.get(terminal) ?? Buffer.alloc(0);
    if (room.length < length + bytes.length) {
      room = Buffer.concat([room.subarray(0, length)], 2 * (length + bytes.length));
      this.#rooms.set(terminal, room);
    }
    room.set(bytes, length);
    this.onOutput?.(terminal, bytes);
    this.screens.set(terminal, room.subarray(0, length + bytes.length));
  }

  #wake(): void {
    for (const wakeup of this.#wakeups) wakeup();
  }
}
