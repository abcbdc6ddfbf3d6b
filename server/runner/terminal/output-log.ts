import type { ShellMark } from '../../protocol/terminal';
import { OutputTimes, type Piece } from './output-times';
import { RollingBuffer } from './rolling-buffer';

export interface Size {
  columns: number;
  rows: number;
}

export type LogEvent =
  /** The terminal has this size from here on. */
  | { type: 'size'; size: Size }
  | { type: 'mark'; mark: ShellMark }
  /** A prompt begins; the screen remembers its line. */
  | { type: 'prompt-start' };

/** A position between two items of the log. Positions are values: reading on makes a new one. */
export interface LogPosition {
  /** The next byte. */
  readonly offset: number;
  /** Number of the next event. */
  readonly event: number;
}

/** The item at a position, and the position after it. */
export type LogItem =
  | { type: 'bytes'; offset: number; bytes: Buffer; next: LogPosition }
  | { type: 'event'; offset: number; atMs: number; event: LogEvent; next: LogPosition };

/** A busy shell makes four events a command, and the log keeps the output of far fewer commands. Only forged marks get here. */
const maxEvents = 4096;

/** Unix milliseconds by a monotonic clock: setting the machine's clock does not change them. */
const steadyNow = (): number => performance.timeOrigin + performance.now();

export class OutputLog {
  readonly #now: () => number;
  readonly #ring: RollingBuffer;
  readonly #times: OutputTimes;
  #events: { offset: number; atMs: number; event: LogEvent }[] = [];
  /** Number of the first event in `events`. */
  #firstEvent = 0;
  /** Offset of the last event that was dropped although its byte was kept. */
  #droppedAt = -1;
  #sizeBefore: Size;

  /**
   * @param capacity bytes kept
   * @param size of the terminal at first
   * @param now Unix milliseconds
   */
  constructor(capacity: number, size: Size, now: () => number = steadyNow) {
    this.#now = now;
    this.#ring = new RollingBuffer(capacity);
    this.#times = new OutputTimes(capacity);
    this.#sizeBefore = size;
  }

  get capacity(): number {
    return this.#ring.capacity;
  }

  /** Offset of the oldest byte from which on everything is kept. At most `end`. */
  get start(): number {
    return Math.min(this.end, Math.max(this.#ring.start, this.#droppedAt + 1));
  }

  /** Bytes of output so far. */
  get end(): number {
    return this.#ring.end;
  }

  /** @param isWhole whether the bytes begin outside of any escape sequence and character */
  append(bytes: Uint8Array, isWhole: boolean): void {
    if (isWhole && bytes.length > 0) this.#times.note(this.end, this.#now());
    this.#ring.append(bytes);
    this.#times.forget(this.#ring.start);
    while ((this.#events[0]?.offset ?? Infinity) < this.#ring.start) this.#dropEvent();
  }

  /** Adds an event after all bytes so far. */
  note(event: LogEvent): void {
    this.#events.push({ offset: this.end, atMs: this.#now(), event });
    if (this.#events.length > maxEvents) this.#droppedAt = this.#dropEvent();
  }

  /** The position before byte `offset` and before the events there. Undefined when it is not kept or has not come. */
  positionAt(offset: number): LogPosition | undefined {
    if (offset < this.start || offset > this.end) return undefined;
    const index = this.#events.findIndex((candidate) => candidate.offset >= offset);
    return { offset, event: this.#firstEvent + (index < 0 ? this.#events.length : index) };
  }

  /** The position after the last item. */
  get endPosition(): LogPosition {
    return { offset: this.end, event: this.#firstEvent + this.#events.length };
  }

  /** Whether everything from this position on is kept. */
  has(position: LogPosition): boolean {
    return position.offset >= this.#ring.start && position.event >= this.#firstEvent;
  }

  /** Whether there is an item at this position or after it. */
  hasAfter(position: LogPosition): boolean {
    return position.offset < this.end || position.event < this.#firstEvent + this.#events.length;
  }

  /**
   * The item at a position: an event, or at most `maxBytes` bytes up to the next event. Undefined at the end.
   * @throws RangeError when the position is not kept
   */
  at(position: LogPosition, maxBytes: number): LogItem | undefined {
    const entry = this.#events[position.event - this.#firstEvent];
    if (entry && entry.offset <= position.offset) {
      const next = { offset: position.offset, event: position.event + 1 };
      return { type: 'event', offset: entry.offset, atMs: entry.atMs, event: entry.event, next };
    }
    const length = Math.min(maxBytes, (entry?.offset ?? this.end) - position.offset);
    if (length <= 0) return undefined;
    const bytes = this.#ring.read(position.offset, length);
    return {
      type: 'bytes',
      offset: position.offset,
      bytes,
      next: { ...position, offset: position.offset + length },
    };
  }

  /** The terminal's size at a position. */
  sizeAt(position: LogPosition): Size {
    for (let index = position.event - this.#firstEvent - 1; index >= 0; index--) {
      const event = this.#events[index]?.event;
      if (event?.type === 'size') return event.size;
    }
    return this.#sizeBefore;
  }

  /** The pieces in which the output came, from the first piece whose beginning is kept. */
  get pieces(): Piece[] {
    return this.#times.from(this.start);
  }

  #dropEvent(): number {
    const dropped = this.#events.shift();
    this.#firstEvent += 1;
    if (dropped?.event.type === 'size') this.#sizeBefore = dropped.event.size;
    return dropped?.offset ?? -1;
  }
}
