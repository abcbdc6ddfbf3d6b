import type { ServerMessage } from '../../protocol/messages';
import type { Role } from '../../protocol/session';
import type { OutputLog, LogPosition } from './output-log';
import type { Screen } from './screen';

/** Output that a page was sent and has not parsed: bounds what piles up in the tab. */
export const maxUnparsedBytes = 256 * 1024;

/** The rate at which a page parses is measured over at least this long, in milliseconds. */
const measureMs = 200;

/** The connection to which an attachment belongs. */
export interface AttachedPage {
  /** Bytes that may be in flight to the page without much delay (see pump.ts). */
  readonly window: number;
  /** The attachment has something to send. */
  wake(): void;
  /** This page's input before the offset has been given to the program. */
  inputGiven(offset: number): void;
  /** The same page has attached over another connection, or the terminal is gone. */
  end(): void;
}

/** What an attachment needs of its terminal. */
export interface AttachedTerminal {
  readonly id: string;
  readonly channel: number;
  readonly log: OutputLog;
  readonly screen: Screen;
  takenFrom(clientId: string): number;
  isActive(attachment: Attachment): boolean;
  /** The attachment has parsed more. */
  balance(): void;
}

/** The next thing to send. */
export type Portion =
  | { type: 'message'; message: ServerMessage }
  | { type: 'frame'; kind: 'output' | 'screen'; channel: number; offset: number; bytes: Buffer };

export class Attachment {
  /** The terminal's size while this page decides it. */
  viewport: { columns: number; rows: number };
  /** The higher, the later the page was used. */
  usedAt = 0;
  readonly #terminal: AttachedTerminal;
  /** Undefined while the attachment waits for a screen. */
  #position: LogPosition | undefined;
  /** The page has parsed all output before this offset. Starts where a screen ends. */
  #parsed = 0;
  #measured = { atMs: performance.now(), parsed: 0 };
  #bytesPerMs: number | undefined;
  #isAttached = true;
  /** What the page gets before output of the log: messages, made when they are sent, and a screen's bytes. */
  readonly #before: ((() => ServerMessage) | Buffer)[] = [];
  #screenOffset = 0;
  #wantsScreen = false;

  /** @param from the page has all before this byte; null when it has nothing */
  constructor(
    terminal: AttachedTerminal,
    readonly page: AttachedPage,
    readonly clientId: string,
    readonly role: Role,
    from: number | null,
    viewport: { columns: number; rows: number },
  ) {
    this.#terminal = terminal;
    this.viewport = viewport;
    this.#position = from === null ? undefined : terminal.log.positionAt(from);
    if (!this.#position) {
      this.#fetchScreen(true);
      return;
    }
    const position = this.#position;
    this.#begin(position);
    this.#before.push(
      () => this.#attached(position, false),
      () => this.#size(position),
    );
  }

  /** Bytes of output that the page has not parsed, sent or not. */
  get behind(): number {
    return this.#position ? this.#terminal.log.end - this.#parsed : 0;
  }

  /** Bytes of output that the page has not been sent. */
  get unsent(): number {
    return this.#position ? this.#terminal.log.end - this.#position.offset : 0;
  }

  /** How long the page needs to parse all output so far, at its recent rate, in milliseconds. 0 when no rate is known. */
  get behindMs(): number {
    return this.#bytesPerMs === undefined ? 0 : this.behind / Math.max(this.#bytesPerMs, 0.001);
  }

  /** Roughly how many bytes can be taken now. A message counts as one. 0 when there is nothing. */
  get pending(): number {
    if (!this.#isAttached) return 0;
    if (this.#before.length > 0) {
      return this.#before.reduce((sum, part) => sum + (Buffer.isBuffer(part) ? part.length : 1), 0);
    }
    if (!this.#position) return 0;
    if (this.#wantsScreen || !this.#terminal.log.has(this.#position)) return 1;
    const bytes = Math.min(this.unsent, this.#room);
    return bytes > 0 ? bytes : this.#terminal.log.at(this.#position, 0) ? 1 : 0;
  }

  /** The next thing to send, with at most `maxBytes` bytes of the terminal's. Undefined when there is nothing now. */
  take(maxBytes: number): Portion | undefined {
    if (!this.#isAttached) return undefined;
    const [part] = this.#before;
    if (part !== undefined) return this.#takeBefore(part, maxBytes);
    for (;;) {
      if (!this.#position) return undefined;
      if (this.#wantsScreen || !this.#terminal.log.has(this.#position)) {
        this.#fetchScreen(false);
        return undefined;
      }
      const item = this.#terminal.log.at(this.#position, Math.min(maxBytes, this.#room));
      if (!item) return undefined;
      this.#position = item.next;
      if (item.type === 'bytes') {
        const { channel } = this.#terminal;
        return { type: 'frame', kind: 'output', channel, offset: item.offset, bytes: item.bytes };
      }
      switch (item.event.type) {
        case 'size':
          return { type: 'message', message: this.#size(item.next) };
        case 'mark': {
          const { mark } = item.event;
          const { id } = this.#terminal;
          return { type: 'message', message: { type: 'mark', terminal: id, offset: item.offset, mark } };
        }
        case 'prompt-start':
          break;
      }
    }
  }

  /** The page has parsed all output before `offset`. Impossible offsets are ignored. */
  acknowledge(offset: number): void {
    if (!this.#position || offset <= this.#parsed || offset > this.#position.offset) return;
    this.#parsed = offset;
    const atMs = performance.now();
    const passedMs = atMs - this.#measured.atMs;
    if (passedMs >= measureMs) {
      this.#bytesPerMs = Math.max(0, offset - this.#measured.parsed) / passedMs;
      this.#measured = { atMs, parsed: offset };
    }
    this.#terminal.balance();
    this.page.wake();
  }

  /** Sends the page the present screen instead of the output that it has not been sent. */
  skipToScreen(): void {
    if (!this.#position) return;
    this.#wantsScreen = true;
    this.page.wake();
  }

  detach(): void {
    this.#isAttached = false;
  }

  /** Bytes that may be sent until the page has parsed more. */
  get #room(): number {
    return this.#position ? Math.max(0, maxUnparsedBytes - (this.#position.offset - this.#parsed)) : 0;
  }

  #begin({ offset }: LogPosition): void {
    this.#parsed = offset;
    this.#measured = { atMs: performance.now(), parsed: offset };
  }

  #takeBefore(part: (() => ServerMessage) | Buffer, maxBytes: number): Portion {
    if (!Buffer.isBuffer(part)) {
      this.#before.shift();
      return { type: 'message', message: part() };
    }
    const bytes = part.subarray(0, maxBytes);
    const offset = this.#screenOffset;
    this.#screenOffset += bytes.length;
    if (bytes.length < part.length) this.#before[0] = part.subarray(bytes.length);
    else this.#before.shift();
    return { type: 'frame', kind: 'screen', channel: this.#terminal.channel, offset, bytes };
  }

  #fetchScreen(isFirst: boolean): void {
    const { screen } = this.#terminal;
    this.#position = undefined;
    this.#wantsScreen = false;
    void screen.settled().then(() => {
      if (!this.#isAttached) return;
      const { position, size, data, commands } = screen.snapshot();
      this.#position = position;
      this.#begin(position);
      this.#screenOffset = 0;
      if (isFirst) this.#before.push(() => this.#attached(position, true));
      const { offset } = position;
      const { id } = this.#terminal;
      this.#before.push(() => ({
        type: 'screen',
        terminal: id,
        offset,
        ...size,
        bytes: data.length,
        commands,
      }));
      if (data.length > 0) this.#before.push(data);
      this.#before.push(() => this.#size(position));
      this.#terminal.balance();
      this.page.wake();
    });
  }

  #attached(position: LogPosition, screen: boolean): ServerMessage {
    const { id, log } = this.#terminal;
    // A viewer types nothing, and must not make the terminal remember clients.
    const inputOffset = this.role === 'owner' ? this.#terminal.takenFrom(this.clientId) : 0;
    return {
      type: 'attached',
      terminal: id,
      offset: position.offset,
      screen,
      end: log.end,
      inputOffset,
      ...log.sizeAt(position),
    };
  }

  #size(position: LogPosition): ServerMessage {
    const { id, log } = this.#terminal;
    return { type: 'size', terminal: id, ...log.sizeAt(position), active: this.#terminal.isActive(this) };
  }
}
