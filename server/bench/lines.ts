/**
 * Connections to terminals for the terminal benchmark: directly to the program, through the lab's gateway and runner, and through
 * wetty. All have the same interface: send, receive, close.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { decodeFrame, encodeFrame } from '../protocol/frames';
import { hostNames, type HostName } from '../protocol/hosts';
import type { TerminalInfo } from '../protocol/terminal';
import { ticketReplySchema } from '../protocol/http';
import {
  protocolName,
  serverMessageSchema,
  type ClientMessage,
  type ServerMessage,
} from '../protocol/messages';

/** The shell of local terminals. It reads no start-up files, so it behaves the same inside and outside a sandbox. */
export const localShell: readonly [string, ...string[]] = ['bash', '--norc', '--noprofile'];

const timeoutMs = 120_000;
export const size = { columns: 120, rows: 40 };

/** One terminal, seen by the client that types into it and reads it. */
export interface Line {
  send(text: string): void;
  /** Called with each piece of output as it arrives; wetty delivers decoded text. */
  onData: (data: Uint8Array | string) => void;
  close(): void;
}

export const textOf = (data: Uint8Array | string): string =>
  typeof data === 'string' ? data : Buffer.from(data).toString('latin1');

/** Waits until the line shows a text after this call. @throws Error when it does not within `withinMs` */
export async function untilShown(line: Line, wanted: string, withinMs = timeoutMs): Promise<void> {
  let shown = '';
  await new Promise<void>((found, fail) => {
    const timer = setTimeout(() => {
      fail(
        new Error(
          `The terminal did not show "${wanted}" in ${withinMs} ms, but ${JSON.stringify(shown.slice(-500))}`,
        ),
      );
    }, withinMs);
    line.onData = (data) => {
      shown = (shown + textOf(data)).slice(-4096);
      if (!shown.includes(wanted)) return;
      clearTimeout(timer);
      found();
    };
  });
  line.onData = () => undefined;
}

/** A shell on a host takes a second or two to start under TCG. */
const shellStartMs = 5000;
const attempts = 12;

/**
 * Waits until the line's shell runs commands. Input before the shell has started may be lost, so the command is typed repeatedly.
 * @throws Error when the shell never answers
 */
export async function untilShellRuns(line: Line): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const awake = untilShown(line, 'awake', shellStartMs);
    line.send("printf 'awa''ke'\r");
    try {
      await awake;
      break;
    } catch (error) {
      if (attempt === attempts) throw error;
    }
  }
  // Wait until every repeated command has run.
  const settled = untilShown(line, 'settled');
  line.send("printf 'set''tled\\n'\r");
  await settled;
}

/** Runs the program in a pseudo-terminal of this process, with nothing in between. */
export async function plainLine(command: readonly [string, ...string[]]): Promise<Line> {
  // Imported here, because only a measurement needs it.
  const { spawn } = await import('node-pty');
  const [file, ...parameters] = command;
  const { columns: cols, rows } = size;
  // With `encoding: null` node-pty delivers Buffers, which its types do not declare.
  const pty = spawn(file, parameters, { name: 'xterm-256color', cols, rows, encoding: null });
  const line: Line = {
    onData: () => undefined,
    send: (text) => {
      pty.write(text);
    },
    close: () => {
      pty.kill('SIGKILL');
    },
  };
  pty.onData((data) => {
    line.onData(data);
  });
  return line;
}

interface LabTerminal extends Line {
  readonly info: TerminalInfo;
  /** Offset up to which output was received; null before the first output. */
  received: number | null;
  /** The screen being received: bytes still missing, and its offset in the output. */
  screen: { left: number; offset: number };
  /** Number of bytes typed. */
  typed: number;
}

/** A page without a browser. Like a page, it uses one socket for all terminals of a session. */
export class LabPage {
  private socket: WebSocket | undefined;
  private readonly clientId = randomUUID();
  private readonly terminals = new Map<string, LabTerminal>();
  private readonly channels = new Map<number, LabTerminal>();
  private readonly listeners = new Set<(message: ServerMessage) => void>();
  private infos: TerminalInfo[] = [];

  private constructor(
    private readonly url: string,
    private readonly cookie: string,
  ) {}

  /** Starts a session. */
  static async start(url: string, lessonId: string): Promise<LabPage> {
    const response = await fetch(`${url}/api/session`, {
      method: 'POST',
      headers: { origin: url },
      body: JSON.stringify({ lessonId }),
    });
    if (!response.ok) throw new Error(`Cannot start a session: ${await response.text()}`);
    const [cookie = ''] = (response.headers.get('set-cookie') ?? '').split(';');
    return new LabPage(url, cookie);
  }

  /** Name and value of the cookie, for a browser. */
  get credentials(): { name: string; value: string } {
    const [name = '', value = ''] = this.cookie.split('=');
    return { name, value };
  }

  async end(): Promise<void> {
    this.socket?.terminate();
    await this.request('DELETE', '/session');
  }

  /** Requests a ticket, connects, and waits for the `hello` message. @returns whether the pair is ready */
  async connect(): Promise<boolean> {
    const { ticket } = ticketReplySchema.parse(await (await this.request('POST', '/session/ticket')).json());
    const socket = new WebSocket(
      `${this.url.replace('http', 'ws')}/api/session/socket?ticket=${ticket}`,
      protocolName,
      { headers: { origin: this.url, cookie: this.cookie }, perMessageDeflate: false },
    );
    this.socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data, isBinary) => {
      if (isBinary) this.receiveFrame(data as Buffer);
      else this.receive(serverMessageSchema.parse(JSON.parse((data as Buffer).toString())));
    });
    const hello = this.next('hello');
    await once(socket, 'open');
    const { terminals, pair } = await hello;
    this.infos = terminals;
    return pair.phase === 'ready';
  }

  /** Cuts the connection without a closing handshake. */
  cut(): void {
    this.socket?.terminate();
  }

  /** Reconnects until the pair accepts commands. */
  async untilReady(): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!(await this.connect())) {
      if (Date.now() > deadline) throw new Error('The pair did not become ready in time.');
      this.cut();
      await sleep(500);
    }
  }

  /** Opens `count` terminals, half on each host, and attaches to all. */
  async open(count: number): Promise<Line[]> {
    for (let index = this.infos.length; index < count; index++) {
      const requestId = randomUUID();
      const opened = this.next('terminals', (message) => message.requestId === requestId);
      this.send({ type: 'open-terminal', host: hostOf(index), requestId });
      this.infos = (await opened).terminals;
    }
    return Promise.all(this.infos.slice(0, count).map((info) => this.show(info)));
  }

  /**
   * Attaches to a terminal again, on a new connection, and resolves when everything missing has arrived.
   * @param missed bytes that the page pretends to have missed; null for a page that has nothing
   */
  async attachAgain(line: Line, missed: number | null): Promise<void> {
    const terminal = [...this.terminals.values()].find((one) => one === line);
    if (!terminal) throw new Error('This line belongs to another page.');
    const end = terminal.received ?? 0;
    terminal.received = missed === null ? null : end - missed;
    const complete = new Promise<void>((done) => {
      let isAttached = false;
      const look = (message?: ServerMessage): void => {
        isAttached ||= message?.type === 'attached';
        if (!isAttached || terminal.screen.left > 0 || terminal.received === null || terminal.received < end)
          return;
        this.listeners.delete(look);
        terminal.onData = () => undefined;
        done();
      };
      terminal.onData = () => {
        look();
      };
      this.listeners.add(look);
    });
    this.attach(terminal);
    await complete;
  }

  private async show(info: TerminalInfo): Promise<Line> {
    const known = this.terminals.get(info.id);
    if (known) return known;
    const terminal: LabTerminal = {
      info,
      received: null,
      screen: { left: 0, offset: 0 },
      typed: 0,
      onData: () => undefined,
      send: (text) => {
        const bytes = Buffer.from(text);
        const { channel } = info;
        this.socket?.send(encodeFrame({ kind: 'input', channel, offset: terminal.typed, bytes }));
        terminal.typed += bytes.length;
      },
      close: () => {
        terminal.onData = () => undefined;
        // A host's first terminal stays open; only its program ends.
        if (info.id === info.host) terminal.send('\x03');
        else this.closeTerminal(info);
      },
    };
    this.terminals.set(info.id, terminal);
    this.channels.set(info.channel, terminal);
    const attached = this.next('attached', (message) => message.terminal === info.id);
    this.attach(terminal);
    await attached;
    return terminal;
  }

  private closeTerminal({ id, channel }: TerminalInfo): void {
    this.send({ type: 'close-terminal', terminal: id });
    this.terminals.delete(id);
    this.channels.delete(channel);
    this.infos = this.infos.filter((info) => info.id !== id);
  }

  private attach({ info, received }: LabTerminal): void {
    this.send({ type: 'attach', terminal: info.id, from: received, ...size, clientId: this.clientId });
  }

  private send(message: ClientMessage): void {
    this.socket?.send(JSON.stringify(message));
  }

  private request(method: string, path: string): Promise<Response> {
    return fetch(`${this.url}/api${path}`, { method, headers: { origin: this.url, cookie: this.cookie } });
  }

  private next<Type extends ServerMessage['type']>(
    type: Type,
    matches: (message: Extract<ServerMessage, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<ServerMessage, { type: Type }>> {
    return new Promise((found, fail) => {
      const timer = setTimeout(() => {
        this.listeners.delete(listen);
        fail(new Error(`No ${type} message arrived in ${timeoutMs} ms.`));
      }, timeoutMs);
      const listen = (message: ServerMessage): void => {
        const candidate = message as Extract<ServerMessage, { type: Type }>;
        if (message.type !== type || !matches(candidate)) return;
        clearTimeout(timer);
        this.listeners.delete(listen);
        found(candidate);
      };
      this.listeners.add(listen);
    });
  }

  private receive(message: ServerMessage): void {
    if (message.type === 'error') throw new Error(message.error.message);
    if (message.type === 'screen') {
      const terminal = this.terminals.get(message.terminal);
      if (terminal) {
        terminal.screen = { left: message.bytes, offset: message.offset };
        this.endScreen(terminal);
      }
    }
    if (message.type === 'attached' && !message.screen) {
      const terminal = this.terminals.get(message.terminal);
      if (terminal && terminal.received !== message.offset)
        throw new Error('The output has a gap after attaching.');
    }
    for (const listen of this.listeners) listen(message);
  }

  private receiveFrame(data: Buffer): void {
    const frame = decodeFrame(data);
    const terminal = this.channels.get(frame.channel);
    // Output of a terminal that has just been closed.
    if (!terminal) return;
    if (frame.kind === 'screen') {
      terminal.screen.left -= frame.bytes.length;
      this.endScreen(terminal);
      terminal.onData(frame.bytes);
      return;
    }
    if (terminal.received !== null && terminal.received !== frame.offset) {
      throw new Error(`Output continues at offset ${frame.offset} instead of ${terminal.received}.`);
    }
    terminal.received = frame.offset + frame.bytes.length;
    terminal.onData(frame.bytes);
    this.send({ type: 'ack', terminal: terminal.info.id, offset: terminal.received });
  }

  private endScreen(terminal: LabTerminal): void {
    if (terminal.screen.left > 0) return;
    terminal.received = terminal.screen.offset;
    this.send({ type: 'ack', terminal: terminal.info.id, offset: terminal.received });
  }
}

/** The host of the terminal with this index: hosts alternate, and the first two terminals are the hosts' own. */
export const hostOf = (index: number): HostName => hostNames[index % 2] ?? 'source';
