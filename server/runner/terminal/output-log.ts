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

/** A place between two things in the log. Places are values: reading on makes a new one. */
export interface LogPosition {
  /** The next byte. */
  readonly offset: number;
  /** Number of the next event. */
  readonly event: number;
}

/** What stands at a place, and the place after it. */
export type LogItem =
  | { type: 'bytes'; offset: number; bytes: Buffer; next: LogPosition }
  | { type: 'event'; offset: number; atMs: number; event: LogEvent; next: LogPosition };

/**
 * A shell at work makes four events a command; the oldest byte that is kept is mostly thousands of commands younger. Only who
 * forges marks gets here.
 */
const maxEvents = 4096;

/** Milliseconds of the epoch that go on evenly, whatever is done to the machine's clock. */
const steadyNow = (): number => performance.timeOrigin + performance.now();

export class OutputLog {
  private readonly ring: RollingBuffer;
  private readonly times: OutputTimes;
  private events: { offset: number; atMs: number; event: LogEvent }[] = [];
  /** Number of the first event in `events`. */
  private firstEvent = 0;
  /** Offset of the last event that was dropped though its place was kept. */
  private droppedAt = -1;
  private sizeBefore: Size;

  /**
   * @param capacity bytes kept
   * @param size of the terminal at the beginning
   * @param now milliseconds of the epoch
   */
  constructor(
    capacity: number,
    size: Size,
    private readonly now: () => number = steadyNow,
  ) {
    this.ring = new RollingBuffer(capacity);
    this.times = new OutputTimes(capacity);
    this.sizeBefore = size;
  }

  get capacity(): number {
    return this.ring.capacity;
  }

  /** Offset of the oldest byte from which on everything is kept. At most `end`. */
  get start(): number {
    return Math.min(this.end, Math.max(this.ring.start, this.droppedAt + 1));
  }

  /** Bytes ever put out. */
  get end(): number {
    return this.ring.end;
  }

  /** @param isWhole whether it begins within no escape sequence and no character */
  append(bytes: Uint8Array, isWhole: boolean): void {
    if (isWhole && bytes.length > 0) this.times.note(this.end, this.now());
    this.ring.append(bytes);
    this.times.forget(this.ring.start);
    while ((this.events[0]?.offset ?? Infinity) < this.ring.start) this.dropEvent();
  }

  /** Something happens after all bytes so far. */
  note(event: LogEvent): void {
    this.events.push({ offset: this.end, atMs: this.now(), event });
    if (this.events.length > maxEvents) this.droppedAt = this.dropEvent();
  }

  /** The place before byte `offset`, and before what happened right there. Undefined when it is not kept, or is yet to come. */
  positionAt(offset: number): LogPosition | undefined {
    if (offset < this.start || offset > this.end) return undefined;
    const index = this.events.findIndex((candidate) => candidate.offset >= offset);
    return { offset, event: this.firstEvent + (index < 0 ? this.events.length : index) };
  }

  /** The place after everything. */
  get endPlace(): LogPosition {
    return { offset: this.end, event: this.firstEvent + this.events.length };
  }

  /** Whether everything from this place on is kept. */
  has(place: LogPosition): boolean {
    return place.offset >= this.ring.start && place.event >= this.firstEvent;
  }

  /** Whether something stands at this place or after it. */
  hasAfter(place: LogPosition): boolean {
    return place.offset < this.end || place.event < this.firstEvent + this.events.length;
  }

  /**
   * What stands at a place: an event, or at most `maxBytes` bytes up to the next event. Undefined at the end.
   * @throws RangeError when the place is not kept
   */
  at(place: LogPosition, maxBytes: number): LogItem | undefined {
    const entry = this.events[place.event - this.firstEvent];
    if (entry && entry.offset <= place.offset) {
      const next = { offset: place.offset, event: place.event + 1 };
      return { type: 'event', offset: entry.offset, atMs: entry.atMs, event: entry.event, next };
    }
    const length = Math.min(maxBytes, (entry?.offset ?? this.end) - place.offset);
    if (length <= 0) return undefined;
    const bytes = this.ring.read(place.offset, length);
    return { type: 'bytes', offset: place.offset, bytes, next: { ...place, offset: place.offset + length } };
  }

  /** The terminal's size at a place. */
  sizeAt(place: LogPosition): Size {
    for (let index = place.event - this.firstEvent - 1; index >= 0; index--) {
      const event = this.events[index]?.event;
      if (event?.type === 'size') return event.size;
    }
    return this.sizeBefore;
  }

  /** The pieces in which the output came, from the first one on whose beginning is kept, and everything after it. */
  get pieces(): Piece[] {
    return this.times.from(this.start);
  }

  private dropEvent(): number {
    const dropped = this.events.shift();
    this.firstEvent += 1;
    if (dropped?.event.type === 'size') this.sizeBefore = dropped.event.size;
    return dropped?.offset ?? -1;
  }
}
