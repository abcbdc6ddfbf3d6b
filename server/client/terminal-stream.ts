/**
 * One terminal on this page: carries its output to a sink and its input to the server.
 *
 * Invariant: the sink has received a prefix of the terminal's output, without gaps. A new attachment requests the rest, and repeated
 * bytes are dropped. When the server no longer has the missing bytes, the sink is cleared and gets the screen at a later byte.
 */
import { LabError } from '../protocol/errors';
import type { Frame } from '../protocol/frames';
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import type { ShellMark, ShownCommand } from '../protocol/terminal';
import { InputQueue } from './input-queue';
import type { Clock } from './socket';

/** Parsed output of this size is acknowledged at once: a quarter of the smallest amount that a server allows in flight. */
export const ackBytes = 32 * 1024;
/** Delay of the acknowledgement of less output. One for each frame would be a message for every keystroke's echo. */
export const ackMs = 50;

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** A terminal on the page. Calls take effect in their order. */
export interface TerminalSink {
  /** Clears everything, because it is outdated. @param size the new size, if given */
  restart(size?: TerminalSize): void;
  /**
   * @param replayed do not answer queries in these bytes: they were answered before, or their program no longer waits
   * @param parsed call this when the terminal has parsed these bytes
   */
  write(bytes: Uint8Array, replayed: boolean, parsed: () => void): void;
  /** @param active whether this page decides the size; undefined when the server has not said */
  resize(size: TerminalSize, active?: boolean): void;
  mark(mark: ShellMark): void;
  /** The commands on the screen that was just written. */
  commands(commands: readonly ShownCommand[]): void;
  /** Whether the learner's keys go to this terminal now. */
  inUse(): boolean;
}

/** How a stream reaches the server. Without a connection, both functions do nothing. */
export interface StreamLine {
  send(message: ClientMessage): void;
  /** @param offset of the first of these bytes, counted from the page's first byte to this terminal */
  sendInput(terminal: string, offset: number, bytes: Uint8Array): void;
}

/** The server's frames contradict each other. Only a new attachment helps. */
export class OutOfOrder extends LabError {
  constructor(message: string) {
    super('bad-message', message);
  }
}

/** How far the page has received, parsed and acknowledged the output. */
interface Position {
  /** Offset of the next expected byte. */
  received: number;
  /** The sink has parsed all bytes before this offset. */
  parsed: number;
  acked: number;
}

/** A screen that is arriving. */
interface Screen {
  /** Offset of the output that the screen shows. */
  offset: number;
  bytes: number;
  got: number;
  commands: readonly ShownCommand[];
}

interface View {
  sink: TerminalSink;
  /** The size that fits on the page. */
  size: TerminalSize;
}

/**
 * Frames and marks go to the sink only in `screen` and `live`. Until the server answers the last `attach`, they belong to the previous
 * attachment. `position` is null while the sink shows nothing or half a screen.
 */
type Output =
  | { state: 'hidden' }
  | { state: 'detached'; view: View; position: Position | null }
  | { state: 'attaching'; view: View; position: Position | null }
  /** The whole screen is arriving. `screen` is undefined until its first message. */
  | { state: 'screen'; view: View; replayEnd: number; screen: Screen | undefined }
  /** Output before `replayEnd` is older than this attachment. */
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
  /** Number of unanswered `attach` messages on this connection. */
  #unanswered = 0;
  #ackTimer: unknown;
  /** Outlives attachments: offsets continue when a terminal is shown again. */
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

  /** Whether the learner uses the sink now. */
  get isInUse(): boolean {
    return this.#output.state !== 'hidden' && this.#output.view.sink.inUse();
  }

  /** Offset of the next output byte that the sink needs; null while it shows nothing or half a screen. */
  get offset(): number | null {
    return this.#position?.received ?? null;
  }

  // The page's side

  /** Sends output to this sink from now on. @param from offset of the next byte that the sink needs; null when it has nothing */
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

  /** Requests the output that the sink lacks. */
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

  /** Ignores output until the next {@link attach}. */
  detach(): void {
    const output = this.#output;
    if (output.state !== 'hidden') {
      this.#enter({ state: 'detached', view: output.view, position: this.#position });
    }
  }

  /** The connection is gone, with all its unanswered requests. */
  lineLost(): void {
    this.#unanswered = 0;
    this.detach();
  }

  /** The terminal is gone. A new one may have the same id. */
  forget(): void {
    this.#input = new InputQueue();
    const output = this.#output;
    if (output.state === 'hidden') return;
    this.#enter({ state: 'detached', view: output.view, position: null });
    output.view.sink.restart();
  }

  /** The terminal was closed: drops the queued input. */
  forgetInput(): void {
    this.#input = new InputQueue();
  }

  /** @returns false when the queue is too full; then it keeps none of the bytes */
  type(bytes: Uint8Array): boolean {
    if (!this.#input.push(bytes, this.#clock.now())) return false;
    this.#sendInput();
    return true;
  }

  // The server's side

  /** @returns how many keys (or pastes) became too old to send; undefined when the message answers a replaced attachment */
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

  /** @throws OutOfOrder when bytes are missing; then the next attachment requests the screen */
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
    // The screen's bytes have no offsets in the output, but the server may wait for its acknowledgement. A sink may parse at once.
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

  /** The sink's output cannot be continued, so the next attachment requests the screen. */
  #outOfOrder(): OutOfOrder {
    const output = this.#output;
    if (output.state !== 'hidden') this.#enter({ state: 'detached', view: output.view, position: null });
    return new OutOfOrder(
      output.state === 'screen'
        ? 'A piece of a terminal’s screen arrived out of order.'
        : 'Output of a terminal is missing.',
    );
  }

  /** @param position that of the sink when it parsed; outdated if the sink was restarted since */
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
    // The server's input offset is known only after its answer, which then triggers sending.
    if (!this.isAttached) return;
    for (let piece = this.#input.take(); piece !== undefined; piece = this.#input.take()) {
      this.#line.sendInput(this.#terminal, piece.offset, piece.bytes);
    }
  }
}
