/** A learner without a browser, for the lesson test and other tests: the same requests, tickets, frames and bytes as the page's. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { LabError } from '../protocol/errors';
import { decodeFrame, encodeFrame, maxInputBytes } from '../protocol/frames';
import type { TerminalInfo } from '../protocol/terminal';
import type { SessionInfo } from '../protocol/session';
import {
  protocolName,
  serverMessageSchema,
  type ClientMessage,
  type ServerMessage,
} from '../protocol/messages';
import { errorReplySchema, sessionReplySchema, ticketReplySchema } from '../protocol/http';

type MessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

/** What a page knows of a terminal, whatever connections it has meanwhile. */
interface Shown {
  /** All output before this has been shown; null before anything was. */
  offset: number | null;
  /** Of the screen that is being received: what is still to come, and where it stands in the output. */
  screen: { bytesLeft: number; offset: number } | undefined;
  /** What was typed and not acknowledged. */
  typed: Buffer;
  /** Bytes typed before `typed`. */
  typedOffset: number;
  /** Bytes of `typed` that this connection has sent; nothing is sent before the terminal is attached. */
  sent: number | undefined;
}

export class Learner {
  /** All messages received over this connection, oldest first. */
  readonly messages: ServerMessage[] = [];
  /** Everything each terminal has shown, by terminal id; a repainted screen takes the place of what was before it. */
  readonly screens = new Map<string, Buffer>();
  /** Told of all that a terminal shows, as it comes. */
  onOutput: ((terminal: string, bytes: Uint8Array) => void) | undefined;
  /** Code with which the runner or the network closed the socket; undefined while it is open. */
  closeCode: number | undefined;
  /** The session's terminals, in the order in which they were opened. */
  terminals: readonly TerminalInfo[] = [];
  private sandboxId = '';
  private readonly shown = new Map<string, Shown>();
  /** What `screens` are the beginnings of. */
  private readonly rooms = new Map<string, Buffer>();
  private readonly clientId = randomUUID();
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
      for (const shown of this.shown.values()) {
        shown.sent = undefined;
        shown.screen = undefined;
      }
      this.socket = socket;
    });
    // Rejects with the socket's error when the handshake is refused.
    await once(socket, 'open');
    return this.waitFor('hello', () => true, 30_000);
  }

  send(message: ClientMessage): void {
    this.sendRaw(JSON.stringify(message));
  }

  /** Sends anything, valid or not. */
  sendRaw(data: string | Uint8Array): void {
    this.socket?.send(data);
  }

  /** Shows a terminal; again, from where it was left on. */
  attach(terminal: string, columns = 120, rows = 40): void {
    const { offset } = this.of(terminal);
    this.send({ type: 'attach', terminal, from: offset, columns, rows, clientId: this.clientId });
  }

  /** Types as a keyboard would; while the terminal is not attached, as soon as it is. */
  type(terminal: string, text: string): void {
    const shown = this.of(terminal);
    shown.typed = Buffer.concat([shown.typed, Buffer.from(text)]);
    this.sendTyped(terminal);
  }

  /** Offset of the output that was shown, null before anything was. */
  offset(terminal: string): number | null {
    return this.of(terminal).offset;
  }

  /** Waits until the terminal's shell is at its prompt, or a program runs in it. */
  async untilPrompt(terminal: string, idle: boolean, timeoutMs: number): Promise<void> {
    const isIdle = () => this.latest('prompt', (prompt) => prompt.terminal === terminal)?.idle;
    await this.until(() => isIdle() === idle, timeoutMs, idle ? 'prompt' : 'running program');
  }

  screen(terminal: string): string {
    return (this.screens.get(terminal) ?? Buffer.alloc(0)).toString();
  }

  /** Length of {@link screen} in bytes, which costs nothing to ask. */
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

  /** Waits for what the runner first says of a run. */
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

  /** Waits until a condition holds, looking again whenever anything arrives. @throws Error naming `what` when it never does */
  async until(condition: () => boolean, timeoutMs: number, what: string): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`No ${what} in ${timeoutMs} ms.`);
      const ended = this.latest('ended');
      if (ended && this.closeCode !== undefined) {
        const lost = this.latest('pair', ({ pair }) => pair.error !== undefined)?.pair.error;
        throw new Error(`No ${what}: the session has ended (${ended.reason}). ${lost?.message ?? ''}`);
      }
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

  private of(terminal: string): Shown {
    const known = this.shown.get(terminal);
    if (known) return known;
    const made = { offset: null, screen: undefined, typed: Buffer.alloc(0), typedOffset: 0, sent: undefined };
    this.shown.set(terminal, made);
    return made;
  }

  private sendTyped(terminal: string): void {
    const shown = this.of(terminal);
    const channel = this.terminals.find(({ id }) => id === terminal)?.channel;
    if (shown.sent === undefined || channel === undefined) return;
    // No more may be on the way than one longest frame.
    const bytes = shown.typed.subarray(shown.sent, maxInputBytes);
    if (bytes.length === 0) return;
    const offset = shown.typedOffset + shown.sent;
    shown.sent += bytes.length;
    this.sendRaw(encodeFrame({ kind: 'input', channel, offset, bytes }));
  }

  /** The terminal has the input before `offset`. */
  private forgetTyped(shown: Shown, offset: number): void {
    const count = offset - shown.typedOffset;
    shown.typed = shown.typed.subarray(count);
    shown.typedOffset = offset;
    if (shown.sent !== undefined) shown.sent -= count;
  }

  private receive(data: Buffer, isBinary: boolean): void {
    if (isBinary) {
      this.receiveFrame(data);
    } else {
      const message = serverMessageSchema.parse(JSON.parse(data.toString()));
      this.messages.push(message);
      this.note(message);
    }
    this.wake();
  }

  private note(message: ServerMessage): void {
    switch (message.type) {
      case 'hello':
        this.terminals = message.terminals;
        if (message.sandboxId !== this.sandboxId) {
          this.sandboxId = message.sandboxId;
          this.shown.clear();
          this.screens.clear();
        }
        break;
      case 'terminals':
        this.terminals = message.terminals;
        break;
      case 'attached': {
        const shown = this.of(message.terminal);
        shown.sent = undefined;
        this.forgetTyped(shown, message.inputOffset);
        shown.sent = 0;
        this.sendTyped(message.terminal);
        break;
      }
      case 'screen':
        this.screens.set(message.terminal, Buffer.alloc(0));
        this.of(message.terminal).screen = { bytesLeft: message.bytes, offset: message.offset };
        this.endScreen(message.terminal);
        break;
      case 'input-ack':
        this.forgetTyped(this.of(message.terminal), message.offset);
        this.sendTyped(message.terminal);
        break;
    }
  }

  private receiveFrame(data: Buffer): void {
    const frame = decodeFrame(data);
    const terminal = this.terminals.find(({ channel }) => channel === frame.channel)?.id ?? '';
    const shown = this.of(terminal);
    this.show(terminal, frame.bytes);
    if (frame.kind === 'screen') {
      if (!shown.screen) throw new LabError('bad-message', 'A screen frame came without a screen.');
      shown.screen.bytesLeft -= frame.bytes.length;
      this.endScreen(terminal);
      return;
    }
    if (shown.offset !== null && frame.offset !== shown.offset) {
      throw new LabError('bad-message', `Output goes on at ${frame.offset} and not at ${shown.offset}.`);
    }
    shown.offset = frame.offset + frame.bytes.length;
    this.send({ type: 'ack', terminal, offset: shown.offset });
  }

  /** Appends in place, in a buffer that doubles: tests let terminals flood. */
  private show(terminal: string, bytes: Uint8Array): void {
    const { length } = this.screens.get(terminal) ?? Buffer.alloc(0);
    let room = this.rooms.get(terminal) ?? Buffer.alloc(0);
    if (room.length < length + bytes.length) {
      room = Buffer.concat([room.subarray(0, length)], 2 * (length + bytes.length));
      this.rooms.set(terminal, room);
    }
    room.set(bytes, length);
    this.onOutput?.(terminal, bytes);
    this.screens.set(terminal, room.subarray(0, length + bytes.length));
  }

  private endScreen(terminal: string): void {
    const shown = this.of(terminal);
    if (!shown.screen || shown.screen.bytesLeft > 0) return;
    shown.offset = shown.screen.offset;
    shown.screen = undefined;
    this.send({ type: 'ack', terminal, offset: shown.offset });
  }

  private wake(): void {
    for (const wakeup of this.wakeups) wakeup();
  }
}
