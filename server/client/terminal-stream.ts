/**
 * One terminal of the session as this page has it: its output on the way to a sink, its input on the way to the server.
 *
 * Invariant: what the sink was given is a prefix of what the terminal put out, without a hole. A new attachment asks for what
 * follows, and bytes that come twice are cut. When the server no longer has the missing bytes, the sink is emptied and given the
 * screen as it was at some byte.
 */
import { LabError } from '../protocol/errors';
import type { Frame } from '../protocol/frames';
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import type { ShellMark, ShownCommand } from '../protocol/terminal';
import { InputQueue } from './input-queue';
import type { Clock } from './socket';

/** Parsed output of this size is acknowledged at once: a quarter of the least that a server allows in flight. */
export const ackBytes = 32 * 1024;
/** A quiet terminal's last bytes are acknowledged after this: one ack a frame would be a message for every keystroke's echo. */
export const ackMs = 50;

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** A terminal on the page. What it is told takes effect in the order in which it is told. */
export interface TerminalSink {
  /** Nothing that it shows is true any more: it becomes empty, of this size if one is given. */
  restart(size?: TerminalSize): void;
  /**
   * @param replayed queries in these bytes get no answer: they have been answered, or their program no longer waits
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

/** How a stream reaches the server; while there is no line, both do nothing. */
export interface StreamLine {
  send(message: ClientMessage): void;
  /** @param offset number of the first of these bytes, counted from the page's first byte to this terminal */
  sendInput(terminal: string, offset: number, bytes: Uint8Array): void;
}

/** The server sent what cannot be: only a new start helps. */
export class OutOfOrder extends LabError {
  constructor(message: string) {
    super('bad-message', message);
  }
}

/** Where the terminal's output has come to on the page. */
interface Position {
  /** Number of the next byte expected. */
  received: number;
  /** The sink has parsed all bytes before this number. */
  parsed: number;
  acked: number;
}

/** A screen on its way in. */
interface Screen {
  /** The byte of the output that it stands for. */
  offset: number;
  bytes: number;
  got: number;
  commands: readonly ShownCommand[];
}

interface View {
  sink: TerminalSink;
  /** What fits into the page. */
  size: TerminalSize;
}

/**
 * Frames and marks belong to the sink only in `screen` and `live`: before the server has answered the last `attach`, what comes
 * belongs to the attachment before. `position` is null while the sink shows nothing, or half a screen.
 */
type Output =
  | { state: 'hidden' }
  | { state: 'detached'; view: View; position: Position | null }
  | { state: 'attaching'; view: View; position: Position | null }
  /** The whole screen comes; `screen` is undefined until its first message. */
  | { state: 'screen'; view: View; replayEnd: number; screen: Screen | undefined }
  /** Bytes before `replayEnd` were put out before this attachment. */
  | { state: 'live'; view: View; replayEnd: number; position: Position };

type MessageOf<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;

const sizeOf = ({ columns, rows }: TerminalSize): TerminalSize => ({ columns, rows });
const positionAt = (offset: number): Position => ({ received: offset, parsed: offset, acked: offset });

export class TerminalStream {
  readonly #terminal: string;
  readonly #line: StreamLine;
  readonly #clock: Clock;
  readonly #clientId: string;
  #output: Output = { state: 'hidden' };
  /** How many `attach` messages the server has not answered on this line. */
  #unanswered = 0;
  #ackTimer: unknown;
  /** Survives attachments: offsets continue when a terminal is shown again. */
  #input = new InputQueue();

  constructor(terminal: string, line: StreamLine, clock: Clock, clientId: string) {
    this.#terminal = terminal;
    this.#line = line;
    this.#clock = clock;
    this.#clientId = clientId;
  }

  get isHidden(): boolean {
    return this.#output.state === 'hidden';
  }

  get isAttached(): boolean {
    return this.#output.state === 'screen' || this.#output.state === 'live';
  }

  /** A learner uses the sink now. */
  get isInUse(): boolean {
    return this.#output.state !== 'hidden' && this.#output.view.sink.inUse();
  }

  /** Number of the next output byte that the sink needs; null while it shows nothing, or half a screen. */
  get offset(): number | null {
    return this.#position?.received ?? null;
  }

  // The page's side

  /** Output goes to this sink from now on. @param from number of the next byte that the sink needs; null when it has nothing */
  show(sink: TerminalSink, size: TerminalSize, from: number | null): void {
    const position = from === null ? null : positionAt(from);
    this.#enter({ state: 'detached', view: { sink, size }, position });
  }

  hide(): void {
    this.#enter({ state: 'hidden' });
  }

  /** @returns false when no sink shows the terminal */
  fit(size: TerminalSize): boolean {
    if (this.#output.state === 'hidden') return false;
    this.#output.view.size = size;
    return true;
  }

  /** Asks the server for what the sink lacks. */
  attach(): void {
    const output = this.#output;
    if (output.state === 'hidden') return;
    this.#enter({ state: 'attaching', view: output.view, position: this.#position });
    this.#unanswered += 1;
    this.#line.send({
      type: 'attach',
      terminal: this.#terminal,
      from: this.offset,
      ...output.view.size,
      clientId: this.#clientId,
    });
  }

  /** What comes is ignored until the next {@link attach}. */
  detach(): void {
    const output = this.#output;
    if (output.state !== 'hidden') {
      this.#enter({ state: 'detached', view: output.view, position: this.#position });
    }
  }

  /** The line is gone, with everything that was asked over it. */
  lineLost(): void {
    this.#unanswered = 0;
    this.detach();
  }

  /** The terminal is gone; another one may come under its id. */
  forget(): void {
    this.#input = new InputQueue();
    const output = this.#output;
    if (output.state === 'hidden') return;
    this.#enter({ state: 'detached', view: output.view, position: null });
    output.view.sink.restart();
  }

  /** The terminal was closed: what was typed into it goes nowhere. */
  forgetInput(): void {
    this.#input = new InputQueue();
  }

  /** @returns false when more waits than is kept; then none of it is taken */
  type(bytes: Uint8Array): boolean {
    if (!this.#input.push(bytes, this.#clock.now())) return false;
    this.#sendInput();
    return true;
  }

  // The server's side

  /** @returns how many keys (or pastes) became too old to be sent; undefined when this answers an attachment that was replaced */
  onAttached(message: MessageOf<'attached'>): { lostKeys: number } | undefined {
    if (this.#unanswered > 0) this.#unanswered -= 1;
    const output = this.#output;
    if (output.state !== 'attaching' || this.#unanswered > 0) return undefined;
    const { view, position } = output;
    const replayEnd = message.end ?? message.offset;
    if (message.screen) {
      this.#enter({ state: 'screen', view, replayEnd, screen: undefined });
    } else if (position === null) {
      view.sink.restart(sizeOf(message));
      this.#enter({ state: 'live', view, replayEnd, position: positionAt(message.offset) });
    } else {
      view.sink.resize(sizeOf(message));
      this.#enter({ state: 'live', view, replayEnd, position });
    }
    const lostKeys = this.#input.resume(message.inputOffset, this.#clock.now());
    this.#sendInput();
    return { lostKeys };
  }

  onScreen(message: MessageOf<'screen'>): void {
    const output = this.#output;
    if (output.state !== 'screen' && output.state !== 'live') return;
    const { view, replayEnd } = output;
    const { offset, bytes, commands } = message;
    this.#enter({ state: 'screen', view, replayEnd, screen: { offset, bytes, got: 0, commands } });
    view.sink.restart(sizeOf(message));
    if (bytes === 0) this.#endScreen();
  }

  onSize(message: MessageOf<'size'>): void {
    if (this.#output.state === 'screen' || this.#output.state === 'live')
      this.#output.view.sink.resize(sizeOf(message), message.active);
  }

  onMark(mark: ShellMark): void {
    if (this.#output.state === 'screen' || this.#output.state === 'live') this.#output.view.sink.mark(mark);
  }

  /** @throws OutOfOrder when bytes are missing; then the next attachment asks for the screen */
  onFrame(frame: Frame): void {
    if (!this.isAttached) return;
    switch (frame.kind) {
      case 'screen':
        this.#onScreenBytes(frame);
        break;
      case 'output':
        this.#onOutput(frame);
        break;
      case 'input':
        throw new LabError('bad-message', 'The server sent a page input.');
    }
  }

  onInputAck(offset: number): void {
    this.#input.ack(offset);
    this.#sendInput();
  }

  get #position(): Position | null {
    const output = this.#output;
    switch (output.state) {
      case 'hidden':
      case 'screen':
        return null;
      case 'detached':
      case 'attaching':
      case 'live':
        return output.position;
    }
  }

  #enter(output: Output): void {
    this.#output = output;
    this.#clock.clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
  }

  #onScreenBytes({ offset, bytes }: Frame): void {
    const output = this.#output;
    if (output.state !== 'screen' || output.screen?.got !== offset) throw this.#outOfOrder();
    const { screen, view } = output;
    if (offset + bytes.length > screen.bytes) throw this.#outOfOrder();
    screen.got += bytes.length;
    const isLast = screen.got === screen.bytes;
    let isParsed = false;
    // A screen's bytes are not counted, but the server may wait until the page has it. A sink may parse at once.
    const ackScreen = (): void => {
      const position = this.#position;
      if (isParsed && position?.parsed === screen.offset) this.#ackWhenDue(position);
    };
    view.sink.write(bytes, true, () => {
      isParsed = true;
      if (isLast) ackScreen();
    });
    if (!isLast) return;
    this.#endScreen();
    ackScreen();
  }

  #endScreen(): void {
    const output = this.#output;
    if (output.state !== 'screen' || output.screen === undefined) return;
    const { view, replayEnd, screen } = output;
    this.#enter({ state: 'live', view, replayEnd, position: positionAt(screen.offset) });
    view.sink.commands(screen.commands);
  }

  #onOutput({ offset, bytes }: Frame): void {
    const output = this.#output;
    if (output.state !== 'live' || offset > output.position.received) throw this.#outOfOrder();
    const { view, position, replayEnd } = output;
    const { received } = position;
    const end = offset + bytes.length;
    if (end <= received) return;
    const fresh = bytes.subarray(received - offset);
    position.received = end;
    const replayed = Math.max(0, Math.min(fresh.length, replayEnd - received));
    const write = (part: Uint8Array, isReplayed: boolean, partEnd: number): void => {
      if (part.length === 0) return;
      view.sink.write(part, isReplayed, () => {
        position.parsed = Math.max(position.parsed, partEnd);
        this.#ackWhenDue(position);
      });
    };
    write(fresh.subarray(0, replayed), true, received + replayed);
    write(fresh.subarray(replayed), false, end);
  }

  /** What the sink shows cannot be continued: the next attachment asks for the screen. */
  #outOfOrder(): OutOfOrder {
    const output = this.#output;
    if (output.state !== 'hidden') this.#enter({ state: 'detached', view: output.view, position: null });
    return new OutOfOrder(
      output.state === 'screen'
        ? 'A piece of a terminal’s screen arrived out of order.'
        : 'Output of a terminal is missing.',
    );
  }

  /** @param position of a sink that parsed something; a restart since then makes it worthless */
  #ackWhenDue(position: Position): void {
    if (this.#output.state !== 'live' || this.#output.position !== position) return;
    const sendAck = (): void => {
      this.#clock.clearTimeout(this.#ackTimer);
      this.#ackTimer = undefined;
      position.acked = position.parsed;
      this.#line.send({ type: 'ack', terminal: this.#terminal, offset: position.acked });
    };
    if (position.parsed - position.acked >= ackBytes) sendAck();
    else this.#ackTimer ??= this.#clock.setTimeout(sendAck, ackMs);
  }

  #sendInput(): void {
    // Before the attachment is answered, it is not known from where the server counts on; then everything is sent.
    if (!this.isAttached) return;
    for (let piece = this.#input.take(); piece !== undefined; piece = this.#input.take()) {
      this.#line.sendInput(this.#terminal, piece.offset, piece.bytes);
    }
  }
}
