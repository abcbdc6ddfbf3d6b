/**
 * Connections to terminals for the terminal benchmark: directly to the program, through the lab's gateway and runner, and through
 * wetty. All have the same interface: send, receive, close.
 */
import { randomUUID } from 'node:crypto';
import { Connection } from '../client/connection';
import { GatewayClient } from '../client/gateway-client';
import { NodeBrowser, type NodeSocket } from '../client/node-browser';
import { systemClock } from '../client/socket';
import type { TerminalSink } from '../client/terminal-stream';
import { LabError } from '../protocol/errors';
import { hostNames, type HostName } from '../protocol/hosts';
import type { ServerMessage } from '../protocol/messages';
import type { TerminalInfo } from '../protocol/terminal';

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

/** Counts what it shows and keeps nothing: a benchmark's output would fill the memory. */
class CountingTerminal implements Line, TerminalSink {
  onData: (data: Uint8Array | string) => void = () => undefined;

  readonly #connection: Connection;
  readonly #onChange: () => void;
  readonly #onClosed: () => void;

  constructor(
    readonly info: TerminalInfo,
    connection: Connection,
    onChange: () => void,
    onClosed: () => void,
  ) {
    this.#connection = connection;
    this.#onChange = onChange;
    this.#onClosed = onClosed;
  }

  send(text: string): void {
    const result = this.#connection.input(this.info.id, Buffer.from(text));
    if (result !== 'taken') throw new Error(`Typing into ${this.info.id} was refused: ${result}.`);
  }

  close(): void {
    this.onData = () => undefined;
    const { id, host } = this.info;
    // A host's first terminal stays, and what runs in it ends.
    if (id === host) {
      this.send('\x03');
    } else {
      this.#connection.detach(id);
      this.#connection.closeTerminal(id);
      this.#onClosed();
    }
  }

  write(bytes: Uint8Array, _replayed: boolean, parsed: () => void): void {
    parsed();
    this.onData(bytes);
    this.#onChange();
  }
  commands(): void {
    this.#onChange();
  }
  restart(): void {
    // It shows nothing.
  }
  resize(): void {
    // It has no size.
  }
  mark(): void {
    // Nobody looks for a command.
  }
  inUse(): boolean {
    return false;
  }
}

/** A page without a browser: the page's own connection, one socket for all terminals of a session. */
export class LabPage {
  readonly #browser: NodeBrowser;
  readonly #gateway: GatewayClient;
  readonly #connection: Connection;
  readonly #terminals = new Map<string, CountingTerminal>();
  readonly #listeners = new Set<(message?: ServerMessage) => void>();
  #socket: NodeSocket | undefined;
  #infos: readonly TerminalInfo[] = [];
  /** A socket is opened only while this is set: a benchmark itself says when to reconnect. */
  #isConnecting = false;

  private constructor(url: string) {
    this.#browser = new NodeBrowser(url);
    this.#gateway = new GatewayClient(this.#browser.fetchPath);
    this.#connection = new Connection({
      openSocket: async (handlers) => {
        if (!this.#isConnecting) throw new LabError('cancelled', 'The benchmark decides when to reconnect.');
        this.#socket = this.#browser.openSocket(await this.#gateway.sessionSocket(), handlers);
        return this.#socket;
      },
      onState: () => undefined,
      onSilence: () => undefined,
      onMessage: (message) => {
        if (message.type === 'error') throw LabError.fromWire(message.error);
        this.#tell(message);
      },
      onError: (error) => {
        // Figures of a page that lost something would be worth nothing: the benchmark ends.
        if (error.code !== 'cancelled') throw error;
      },
      onInputLost: (terminal, keys) => {
        throw new LabError('lost', `${keys} keys typed into ${terminal} never arrived.`);
      },
      clock: systemClock,
      clientId: randomUUID(),
    });
  }

  /** Starts a session. @throws LabError as the gateway answered it; `no-session` when it only gave a queue position */
  static async start(url: string, lessonId: string): Promise<LabPage> {
    const page = new LabPage(url);
    const { session } = await page.#gateway.postSession(lessonId);
    if (session === null) throw new LabError('no-session', 'The gateway gave no session.');
    return page;
  }

  /** Name and value of the cookie, for a browser. */
  get credentials(): { name: string; value: string } {
    const [[name, value] = ['', '']] = this.#browser.cookies;
    return { name, value };
  }

  async end(): Promise<void> {
    this.#connection.close();
    this.#socket?.terminate();
    await this.#gateway.deleteSession();
  }

  /** Connects, and waits until the session has said hello. @returns whether its pair is ready */
  async connect(): Promise<boolean> {
    this.#connection.close();
    const hello = this.#next('hello');
    this.#isConnecting = true;
    this.#connection.open();
    const { pair, terminals } = await hello;
    this.#isConnecting = false;
    this.#infos = terminals;
    return pair.phase === 'ready';
  }

  /** Cuts the line without a word. */
  cut(): void {
    this.#socket?.terminate();
  }

  /** Connects, and waits until the pair takes commands. */
  async untilReady(): Promise<void> {
    if (await this.connect()) return;
    await this.#next('pair', ({ pair }) => pair.phase === 'ready');
  }

  /** Opens `count` terminals, half on each host, and attaches to all. */
  async open(count: number): Promise<Line[]> {
    for (let index = this.#infos.length; index < count; index++) {
      const requestId = randomUUID();
      const opened = this.#next('terminals', (message) => message.requestId === requestId);
      this.#connection.openTerminal(hostOf(index), requestId);
      this.#infos = (await opened).terminals;
    }
    return Promise.all(this.#infos.slice(0, count).map((info) => this.#show(info)));
  }

  /**
   * Reconnects after a {@link cut}, and waits until the page has all output of a terminal.
   * @param missed bytes that the page pretends not to have; null for a page that has nothing
   */
  async reconnect(line: Line, missed: number | null): Promise<void> {
    const terminal = [...this.#terminals.values()].find((one) => one === line);
    if (!terminal) throw new Error('This line is not of this page.');
    const { id } = terminal.info;
    const end = this.#connection.offset(id) ?? 0;
    this.#connection.close();
    this.#connection.attach(id, terminal, size, missed === null ? null : end - missed);
    const complete = new Promise<void>((done) => {
      let isAttached = false;
      const look = (message?: ServerMessage): void => {
        isAttached ||= message?.type === 'attached' && message.terminal === id;
        const offset = this.#connection.offset(id);
        if (!isAttached || offset === null || offset < end) return;
        this.#listeners.delete(look);
        done();
      };
      this.#listeners.add(look);
    });
    await this.connect();
    await complete;
  }

  async #show(info: TerminalInfo): Promise<Line> {
    const known = this.#terminals.get(info.id);
    if (known) return known;
    const onChange = (): void => {
      this.#tell();
    };
    // At once, not when the server says so: what is opened next must not be taken for this one.
    const onClosed = (): void => {
      this.#terminals.delete(info.id);
      this.#infos = this.#infos.filter(({ id }) => id !== info.id);
    };
    const terminal = new CountingTerminal(info, this.#connection, onChange, onClosed);
    this.#terminals.set(info.id, terminal);
    const attached = this.#next('attached', (message) => message.terminal === info.id);
    this.#connection.attach(info.id, terminal, size);
    await attached;
    return terminal;
  }

  /** Something came: a message, or output. */
  #tell(message?: ServerMessage): void {
    for (const listen of this.#listeners) listen(message);
  }

  #next<Type extends ServerMessage['type']>(
    type: Type,
    matches: (message: Extract<ServerMessage, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<ServerMessage, { type: Type }>> {
    return new Promise((found, fail) => {
      const timer = setTimeout(() => {
        this.#listeners.delete(listen);
        fail(new Error(`No message ${type} in ${timeoutMs} ms.`));
      }, timeoutMs);
      const listen = (message?: ServerMessage): void => {
        const candidate = message as Extract<ServerMessage, { type: Type }>;
        if (message?.type !== type || !matches(candidate)) return;
        clearTimeout(timer);
        this.#listeners.delete(listen);
        found(candidate);
      };
      this.#listeners.add(listen);
    });
  }
}

/** The host of the terminal with this index: hosts alternate, and the first two terminals are the hosts' own. */
export const hostOf = (index: number): HostName => hostNames[index % 2] ?? 'source';
