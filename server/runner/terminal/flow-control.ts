/**
 * When a terminal's pty is read.
 *
 * The pty is read at its own pace into the log, whose size is bounded. It is paused while the screen has not parsed what the log is
 * about to drop, and while the active page, the one where the learner works, has too much to parse. A viewer's page, or a page that
 * nobody uses, never slows the program: when it has missed too much it gets the screen.
 */
import type { Attachment } from './attachment';
import type { OutputLog } from './output-log';
import type { Screen } from './screen';

/**
 * The pty is paused while the active page has more than this to parse, or than twice what is on the way to it, and resumed at a
 * quarter of that. A browser parses the most in 50 ms, so Ctrl-C is never far behind the flood that it stops.
 */
const maxBehindBytes = 512 * 1024;
const minBehindBytes = 16 * 1024;
/** Ctrl-C and Ctrl-\. */
const interruptKeys = [0x03, 0x1c];
/** An interrupted flood is over when nothing came for this long, or after `maxRushMs`. */
const rushQuietMs = 60;
const maxRushMs = 2000;
/** A page that would need longer than this to see the end of the flood gets the screen instead of the rest. */
const patienceMs = 400;

/** What flow control watches. */
export interface Flow {
  readonly log: OutputLog;
  readonly screen: Screen;
  readonly attachments: ReadonlySet<Attachment>;
  /** The attachment of the page where the learner works. */
  readonly active: Attachment | undefined;
}

export class FlowControl {
  readonly #flow: Flow;
  readonly #onPause: (isPaused: boolean) => void;
  #isPaused = false;
  /** After an interrupt, until the flood is over: no page holds the output back. */
  #rush: { over: NodeJS.Timeout; until: number } | undefined;

  /** @param onPause told to pause (true) or resume (false) the pty */
  constructor(flow: Flow, onPause: (isPaused: boolean) => void) {
    this.#flow = flow;
    this.#onPause = onPause;
  }

  /** The terminal has a new pty, which is not paused. */
  restart(): void {
    this.#isPaused = false;
  }

  /** Pauses or resumes the pty, after anything has changed that decides it. */
  balance(): void {
    const { log, screen, active } = this.#flow;
    const { capacity } = log;
    const brake = this.#rush ? undefined : active;
    const behind = brake?.behind ?? 0;
    const mark = Math.min(
      capacity / 2,
      Math.max(minBehindBytes, Math.min(maxBehindBytes, 2 * (brake?.page.window ?? 0))),
    );
    if (!this.#isPaused && (behind > mark || screen.lag > (capacity * 3) / 4)) {
      this.#isPaused = true;
      this.#onPause(true);
    } else if (this.#isPaused && behind < mark / 4 && screen.lag < capacity / 2) {
      this.#isPaused = false;
      this.#onPause(false);
    }
  }

  /** Bytes are being typed. An interrupt while the page is behind a flood ends the wait for that page. */
  typed(bytes: Uint8Array): void {
    const isBehind = this.#isPaused || (this.#flow.active?.behind ?? 0) > minBehindBytes;
    if (isBehind && interruptKeys.some((key) => bytes.includes(key))) {
      this.#waitForQuiet(this.#rush?.until ?? Date.now() + maxRushMs);
      this.balance();
    }
  }

  /** Output has come. */
  received(): void {
    if (this.#rush) this.#waitForQuiet(this.#rush.until);
    this.balance();
  }

  dispose(): void {
    clearTimeout(this.#rush?.over);
  }

  /**
   * The program was interrupted while the page was behind. Its output so far is no longer held back for the page, so the shell's
   * answer comes through at once. Pages that would need long to get there get the screen.
   */
  #waitForQuiet(until: number): void {
    clearTimeout(this.#rush?.over);
    const over = setTimeout(
      () => {
        this.#rush = undefined;
        for (const attachment of this.#flow.attachments)
          if (attachment.behindMs > patienceMs) attachment.skipToScreen();
        this.balance();
      },
      Math.max(0, Math.min(rushQuietMs, until - Date.now())),
    );
    this.#rush = { over, until };
  }
}
