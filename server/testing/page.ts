/** For tests: a page without a browser and without a socket. It reads a terminal's attachment at its own pace. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerMessage } from '../protocol/messages';
import type { Role } from '../protocol/session';
import type { Terminal } from '../runner/terminal/terminal';
import type { Attachment } from '../runner/terminal/attachment';

type MessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

export interface TestPageOptions {
  from?: number | null;
  columns?: number;
  rows?: number;
  role?: Role;
  clientId?: string;
  window?: number;
  /** The test must call `take` and `acknowledge` itself. */
  isManual?: boolean;
}

export class TestPage {
  readonly messages: ServerMessage[] = [];
  /** Output since the last screen; its first byte is at offset `begin`. */
  bytes = Buffer.alloc(0);
  begin = 0;
  /** Bytes of the last screen received. */
  screen: Buffer | undefined;
  screens = 0;
  ended = false;
  readonly clientId: string;
  readonly attachment: Attachment;
  typed = 0;
  window: number;
  readonly #isManual: boolean;
  #screenLeft = 0;
  /** A larger buffer whose beginning is `bytes`. */
  #buffer = Buffer.alloc(0);
  #scheduled: NodeJS.Immediate | undefined;

  constructor(
    readonly terminal: Terminal,
    options: TestPageOptions = {},
  ) {
    const { from = null, columns = 80, rows = 24, role = 'owner', window = 1 << 20 } = options;
    this.clientId = options.clientId ?? randomUUID();
    this.#isManual = options.isManual ?? false;
    this.window = window;
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- a getter has a `this` of its own
    const page = this;
    this.attachment = terminal.attach(
      {
        get window() {
          return page.window;
        },
        wake: () => {
          if (!this.#isManual)
            this.#scheduled ??= setImmediate(() => {
              this.#takeAll();
            });
        },
        inputGiven: (offset) => {
          this.messages.push({ type: 'input-ack', terminal: terminal.id, offset });
        },
        end: () => {
          this.ended = true;
        },
      },
      { from, columns, rows, role, clientId: this.clientId },
    );
  }

  get end(): number {
    return this.begin + this.bytes.length;
  }

  /** Takes one message or at most `maxBytes` of output and processes it. @returns false when there was nothing */
  take(maxBytes: number): boolean {
    const portion = this.attachment.take(maxBytes);
    if (!portion) return false;
    if (portion.type === 'message') {
      this.messages.push(portion.message);
      if (portion.message.type === 'attached' && !portion.message.screen) {
        this.begin = portion.message.offset;
        this.bytes = Buffer.alloc(0);
      }
      if (portion.message.type === 'screen') {
        this.screens += 1;
        this.screen = Buffer.alloc(0);
        this.#screenLeft = portion.message.bytes;
        this.begin = portion.message.offset;
        this.bytes = Buffer.alloc(0);
      }
    } else if (portion.kind === 'screen') {
      if (portion.offset !== this.screen?.length) throw new Error('A screen frame arrived out of order.');
      this.screen = Buffer.concat([this.screen, portion.bytes]);
      this.#screenLeft -= portion.bytes.length;
    } else {
      if (this.#screenLeft !== 0) throw new Error('Output arrived before the screen was complete.');
      if (portion.offset !== this.end)
        throw new Error(`Output continues at offset ${portion.offset} instead of ${this.end}.`);
      this.#append(portion.bytes);
    }
    return true;
  }

  acknowledge(offset = this.end): void {
    this.attachment.acknowledge(offset);
  }

  type(text: string | Buffer): void {
    const bytes = Buffer.from(text);
    this.terminal.write(this.attachment, this.typed, bytes);
    this.typed += bytes.length;
  }

  resize(columns: number, rows: number): void {
    this.terminal.setViewport(this.attachment, columns, rows);
  }

  detach(): void {
    this.terminal.detach(this.attachment);
  }

  all<Type extends ServerMessage['type']>(type: Type): MessageOf<Type>[] {
    return this.messages.filter((message): message is MessageOf<Type> => message.type === type);
  }

  latest<Type extends ServerMessage['type']>(type: Type): MessageOf<Type> | undefined {
    return this.all(type).at(-1);
  }

  /** Resolves when the page has received all output of the terminal. */
  async caughtUp(): Promise<void> {
    while (this.attachment.pending > 0 || this.attachment.behind > 0 || this.latest('attached') === undefined)
      await sleep(1);
  }

  /** Appends in place to a buffer that doubles, because tests let terminals flood. */
  #append(bytes: Buffer): void {
    const { length } = this.bytes;
    if (this.#buffer.length < length + bytes.length || length === 0) {
      this.#buffer = Buffer.concat([this.bytes], 2 * (length + bytes.length));
    }
    this.#buffer.set(bytes, length);
    this.bytes = this.#buffer.subarray(0, length + bytes.length);
  }

  #takeAll(): void {
    this.#scheduled = undefined;
    while (this.take(32 * 1024));
    this.acknowledge();
  }
}
