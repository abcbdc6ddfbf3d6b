/** A learner without a browser, for the lesson test and other tests: the same requests, tickets, frames and bytes as the page's. */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { LabError } from '../protocol/errors';
import { decodeFrame, encodeFrame } from '../protocol/frames';
import {
  errorReplySchema,
  protocolName,
  serverMessageSchema,
  sessionReplySchema,
  ticketReplySchema,
  type ClientMessage,
  type ServerMessage,
  type SessionInfo,
  type TerminalInfo,
} from '../protocol/messages';

type MessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

export class Learner {
  /** All messages received, oldest first. */
  readonly messages: ServerMessage[] = [];
  /** Everything each terminal has shown, by terminal id. */
  readonly screens = new Map<string, Buffer>();
  /** Told of all that a terminal shows, as it comes. */
  onOutput: ((terminal: string, bytes: Uint8Array) => void) | undefined;
  /** Code with which the runner or the network closed the socket; undefined while it is open. */
  closeCode: number | undefined;
  private terminals: TerminalInfo[] = [];
  private cookie = '';
  private socket: WebSocket | undefined;
  private readonly wakeups = new Set<() => void>();

  constructor(private readonly url: string) {}

  /** @throws LabError as the gateway answered it */
  async request(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.url}/api${path}`, {
      method,
      headers: { origin: this.url, cookie: this.cookie, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const set = response.headers.get('set-cookie');
    if (set) this.cookie = set.split(';')[0] ?? '';
    if (response.status === 204) return undefined;
    const reply: unknown = await response.json();
    if (!response.ok) {
      const { error } = errorReplySchema.parse(reply);
      throw new LabError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint });
    }
    return reply;
  }

  async startSession(lessonId: string): Promise<SessionInfo> {
    const { session } = sessionReplySchema.parse(await this.request('POST', '/session', { lessonId }));
    if (!session) throw new LabError('no-session', 'The gateway gave no session.');
    return session;
  }

  /** Opens the socket with a fresh ticket and waits for `hello`. */
  async connect(): Promise<MessageOf<'hello'>> {
    const { ticket } = ticketReplySchema.parse(await this.request('POST', '/session/ticket'));
    return this.open(ticket);
  }

  /** Opens the socket with a ticket, whoever it was issued to. */
  async open(ticket: string, origin = this.url): Promise<MessageOf<'hello'>> {
    const socket = new WebSocket(
      `${this.url.replace('http', 'ws')}/api/session/socket?ticket=${ticket}`,
      protocolName,
      { headers: { origin, cookie: this.cookie } },
    );
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data, isBinary) => {
      this.receive(data as Buffer, isBinary);
    });
    socket.on('close', (code) => {
      // The close of a handshake that was refused, or of a socket before this one, is not of interest.
      if (this.socket === socket) this.closeCode = code;
      this.wake();
    });
    // Not after the await: `hello` may come with the handshake's answer.
    socket.once('open', () => {
      this.closeCode = undefined;
      this.messages.length = 0;
      this.screens.clear();
      this.socket = socket;
    });
    // Rejects with the socket's error when the handshake is refused.
    await once(socket, 'open');
    const hello = await this.waitFor('hello', () => true, 30_000);
    this.terminals = hello.terminals;
    return hello;
  }

  send(message: ClientMessage): void {
    this.sendRaw(JSON.stringify(message));
  }

  /** Sends anything, valid or not. */
  sendRaw(data: string | Uint8Array): void {
    this.socket?.send(data);
  }

  attach(terminal: string, columns = 120, rows = 40): void {
    this.send({ type: 'attach', terminal, offset: 0, columns, rows });
  }

  /** Types as a keyboard would. */
  type(terminal: string, text: string): void {
    const channel = this.terminals.find(({ id }) => id === terminal)?.channel ?? 0;
    this.sendRaw(encodeFrame({ kind: 'input', channel, offset: 0, bytes: Buffer.from(text) }));
  }

  /** Waits until the terminal's shell is at its prompt, or a program runs in it. */
  async untilPrompt(terminal: string, idle: boolean, timeoutMs: number): Promise<void> {
    const isIdle = () => this.latest('prompt', (prompt) => prompt.terminal === terminal)?.idle;
    await this.until(() => isIdle() === idle, timeoutMs, idle ? 'prompt' : 'running program');
  }

  screen(terminal: string): string {
    return (this.screens.get(terminal) ?? Buffer.alloc(0)).toString();
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
   * Waits for a message of a type, counting those that came before the call as well unless `after` says otherwise.
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

  /** Waits until a condition holds, looking again whenever anything arrives. @throws Error naming `what` when it never does */
  async until(condition: () => boolean, timeoutMs: number, what: string): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`No ${what} in ${timeoutMs} ms.`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.wakeups.add(resolve);
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
      this.wakeups.clear();
    }
  }

  /** Cuts the connection without a word, as a lost network does. */
  cut(): void {
    this.socket?.terminate();
  }

  private receive(data: Buffer, isBinary: boolean): void {
    if (isBinary) {
      const frame = decodeFrame(data);
      const terminal = this.terminals.find(({ channel }) => channel === frame.channel)?.id ?? '';
      const screen = Buffer.concat([this.screens.get(terminal) ?? Buffer.alloc(0), frame.bytes]);
      this.screens.set(terminal, screen);
      this.onOutput?.(terminal, frame.bytes);
      this.send({ type: 'ack', terminal, offset: frame.offset + frame.bytes.length });
    } else {
      this.messages.push(serverMessageSchema.parse(JSON.parse(data.toString())));
    }
    this.wake();
  }

  private wake(): void {
    for (const wakeup of this.wakeups) wakeup();
  }
}
