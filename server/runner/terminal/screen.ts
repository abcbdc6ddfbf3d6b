/**
 * A terminal's screen: a headless xterm.js that reads the terminal's log, so a page that has missed too much can get the screen as
 * it is. It answers no program's queries. The page that a learner looks at answers them, and without a page they stay unanswered.
 *
 * Invariant: the headless terminal is in exactly the state in which the output before `position` leaves a terminal. The exception is
 * a flood whose beginning was skipped, until its end has been parsed; nobody gets a screen then. `position` is never in the middle of
 * an escape sequence or a character, except in strings of over {@link Screen.maxUnfinished} bytes.
 */
import { isAscii } from 'node:buffer';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import type { IMarker, Terminal } from '@xterm/headless';
import type { ShownCommand } from '../../protocol/terminal';
import { prepareTerminal } from '../../protocol/xterm';
import type { LogEvent, OutputLog, LogPosition, Size } from './output-log';
import { coreOf, HeadlessTerminal, repaint } from './repaint';
import type { SequenceScanner } from './sequences';

/** A cell takes 12 bytes in xterm.js: 2 MB for the scrollback, 1300 lines of 120 columns. */
const scrollbackCells = 160_000;
const maxScrollbackLines = 2000;
/** Longer sequences are parsed in parts. They are strings such as a clipboard's content, which change nothing on the screen. */
const maxUnfinishedBytes = 64 * 1024;
/** Parsing waits this long for more output, unless somebody waits for the screen: live output must not wait for a screen that nobody may need. */
const idleMs = 20;
/** While this much comes in that time, parsing waits on. */
const floodBytes = 64 * 1024;
/** Bytes parsed at once. Other terminals' keystrokes wait for some milliseconds meanwhile. */
const pieceBytes = 32 * 1024;
const sliceMs = 4;
/** Plain text is examined in batches of this size: only its end stays on the screen and in the scrollback. */
const maxBatchBytes = 512 * 1024;
const minBatchBytes = 64 * 1024;
/** Bytes below 0x20 that do not let plain text be skipped: they move the cursor back, change the character set or begin a sequence. */
const notPlain = [0x08, 0x0e, 0x0f, 0x1b];
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
/** Commands remembered. A scrollback of short commands holds no more. */
const maxCommands = 500;
/** A screen that takes more than this (each cell in another colour) is sent without its scrollback. */
const maxSnapshotCharacters = 2_000_000;

export interface Snapshot {
  position: LogPosition;
  size: Size;
  /** Escape sequences that draw scrollback and screen into an empty terminal of this size. */
  data: Buffer;
  commands: ShownCommand[];
}

interface Command {
  command: number;
  prompt: IMarker;
  output: IMarker | undefined;
  end: IMarker | undefined;
  /** Its output did not end with a line feed: the line after the output is the next one. */
  endsWithinLine: boolean;
  exitCode: number | null;
  durationMs: number | null;
}

export class Screen {
  readonly #log: OutputLog;
  readonly #scanner: SequenceScanner;
  readonly #onProgress: () => void;
  #terminal: Terminal;
  #position: LogPosition;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;
  #waiting: { until: number; resolve: () => void }[] = [];
  readonly #batchBytes: number;
  /** Less than the lag at which the pty is paused. Otherwise all output would wait for the end of a sequence that never ends. */
  readonly #maxUnfinished: number;
  /** Output was skipped. The invariant holds again when the position has reached this offset. */
  #skippedUntil = 0;
  /** All output before this was examined. What was not skipped has to be parsed. */
  #lookedUntil = 0;
  #commands: Command[] = [];
  #commandCount = 0;
  #promptEnd: { line: IMarker; column: number } | undefined;
  #isDisposed = false;

  /**
   * @param scanner has read all that is in the log
   * @param onProgress called when some of the log has been parsed
   */
  constructor(log: OutputLog, scanner: SequenceScanner, onProgress: () => void) {
    this.#log = log;
    this.#scanner = scanner;
    this.#onProgress = onProgress;
    this.#position = log.endPosition;
    this.#batchBytes = Math.min(maxBatchBytes, log.capacity / 2);
    this.#maxUnfinished = Math.min(maxUnfinishedBytes, log.capacity / 4);
    this.#terminal = makeTerminal(log.sizeAt(this.#position));
  }

  /** Bytes of the log that have not been parsed. */
  get lag(): number {
    return this.#log.end - this.#position.offset;
  }

  /** The log has more. */
  wake(): void {
    if (this.lag >= this.#batchBytes) this.#continueSoon();
    else if (!this.#soon && !this.#timer) {
      const { end } = this.#log;
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        if (this.#log.end - end >= floodBytes) this.wake();
        else this.#parse();
      }, idleMs);
    }
  }

  /** Resolves when the present log has been parsed, except for an unfinished sequence at its end. */
  settled(): Promise<void> {
    if (this.#isDisposed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push({ until: this.#safeEnd, resolve });
      if (!this.#soon) this.#parse();
    });
  }

  /** Whether a program has taken the whole screen. As of what has been parsed. */
  get isAlternate(): boolean {
    return this.#terminal.buffer.active.type === 'alternate';
  }

  /** Whether the cursor stands right behind the prompt and nothing stands behind it. As of what has been parsed. */
  get isAtEmptyPrompt(): boolean {
    const buffer = this.#terminal.buffer.active;
    const prompt = this.#promptEnd;
    if (!prompt || prompt.line.isDisposed || buffer.type === 'alternate') return false;
    const line = buffer.baseY + buffer.cursorY;
    if (line !== prompt.line.line || buffer.cursorX !== prompt.column) return false;
    for (let row = line; row < buffer.length; row++) {
      const text = buffer.getLine(row)?.translateToString(true, row === line ? prompt.column : 0);
      if (text?.trim()) return false;
    }
    return true;
  }

  /** The screen as of what has been parsed. */
  snapshot(): Snapshot {
    const { cols: columns, rows } = this.#terminal;
    const normal = this.#terminal.buffer.normal;
    let scrollback = normal.baseY;
    let data = repaint(this.#terminal, scrollback);
    while (data.length > maxSnapshotCharacters && scrollback > 0) {
      scrollback = Math.floor(scrollback / 8);
      data = repaint(this.#terminal, scrollback);
    }
    const isWithinString = this.#position.offset === this.#log.end && this.#scanner.unfinished > 0;
    return {
      position: this.#position,
      size: { columns, rows },
      data: Buffer.from(data + (isWithinString ? this.#scanner.reopening : '')),
      commands: this.#shownCommands(normal.baseY - scrollback),
    };
  }

  dispose(): void {
    this.#isDisposed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#soon);
    this.#terminal.dispose();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  /** All sequences before this offset are complete. */
  get #safeEnd(): number {
    const { unfinished } = this.#scanner;
    return this.#log.end - (unfinished > this.#maxUnfinished ? 0 : unfinished);
  }

  #continueSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#parse();
    });
  }

  /** Parses the log for a while. */
  #parse(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isDisposed) return;
    const until = performance.now() + sliceMs;
    let isAtEnd = false;
    let canRest = false;
    while (!isAtEnd && !canRest && performance.now() < until) {
      if (!this.#log.has(this.#position))
        this.#startAnew(this.#log.positionAt(this.#log.start) ?? this.#log.endPosition);
      const left = this.#safeEnd - this.#position.offset;
      // Output that comes meanwhile keeps nobody waiting.
      const isOwed = this.#waiting.length > 0 && this.#position.offset < this.#skippedUntil;
      const maySkip = left >= minBatchBytes && !isOwed && this.#position.offset >= this.#lookedUntil;
      const item = this.#log.at(this.#position, Math.min(left, maySkip ? this.#batchBytes : pieceBytes));
      if (item === undefined) {
        isAtEnd = true;
        continue;
      }
      if (item.type === 'event') {
        this.#apply(item.event);
        this.#position = item.next;
        continue;
      }
      if (maySkip) {
        const skipped = this.#skippable(item.bytes);
        if (skipped > 0) {
          this.#position = { ...item.next, offset: item.offset + skipped };
          this.#skippedUntil = item.next.offset;
          canRest = this.#waiting.length === 0 && this.lag < this.#batchBytes;
          continue;
        }
        this.#lookedUntil = item.next.offset;
      }
      const piece = item.bytes.subarray(0, pieceBytes);
      this.#position = { ...item.next, offset: item.offset + piece.length };
      try {
        // An error within `write` cannot be caught, and no program may end the runner by its output.
        coreOf(this.#terminal).writeSync(piece);
      } catch {
        this.#startAnew(this.#position);
      }
    }
    if (canRest) this.wake();
    else if (!isAtEnd) this.#continueSoon();
    // Events right behind the awaited bytes belong to them.
    const isDone = (offset: number) =>
      this.#position.offset >= this.#skippedUntil &&
      (isAtEnd ? offset <= this.#position.offset : offset < this.#position.offset);
    const done = this.#waiting.filter(({ until: offset }) => isDone(offset));
    this.#waiting = this.#waiting.filter(({ until: offset }) => !isDone(offset));
    for (const { resolve } of done) resolve();
    this.#onProgress();
  }

  /**
   * How many bytes at the beginning of this output leave no trace: all of the output is lines of plain text, and the lines after
   * them fill screen and scrollback. So only the end of a flood is parsed.
   */
  #skippable(bytes: Buffer): number {
    const { buffer } = coreOf(this.#terminal);
    const { rows } = this.#terminal;
    if (buffer.scrollTop !== 0 || buffer.scrollBottom !== rows - 1) return 0;
    if (!isAscii(bytes) || notPlain.some((byte) => bytes.includes(byte))) return 0;
    // The first lines may overwrite what is on the screen, so they must scroll away too.
    let needed = scrollbackLines(this.#terminal.cols) + 2 * rows;
    let at = bytes.length;
    while (needed > 0 && at > 0) {
      at = bytes.lastIndexOf(lineFeed, at - 1);
      if (at < 0) return 0;
      needed--;
    }
    // A line feed alone keeps the column: what is skipped must end at the beginning of a line.
    while (at > 0 && bytes[at - 1] !== carriageReturn) at = bytes.lastIndexOf(lineFeed, at - 1);
    return at > 0 ? at + 1 : 0;
  }

  #apply(event: LogEvent): void {
    const terminal = this.#terminal;
    switch (event.type) {
      case 'size':
        terminal.options.scrollback = Math.min(
          scrollbackLines(terminal.cols),
          scrollbackLines(event.size.columns),
        );
        terminal.resize(event.size.columns, event.size.rows);
        terminal.options.scrollback = scrollbackLines(event.size.columns);
        break;
      case 'prompt-start': {
        const prompt = this.#mark();
        if (!prompt) break;
        const last = this.#commands.at(-1);
        // A redrawn prompt: the command that is being typed has one prompt.
        if (last && !last.output) this.#forget(this.#commands.pop());
        this.#remember(this.#commandCount + 1, prompt);
        break;
      }
      case 'mark':
        this.#applyMark(event.mark);
        break;
    }
  }

  #applyMark(mark: Extract<LogEvent, { type: 'mark' }>['mark']): void {
    const here = this.#mark();
    if (!here) return;
    const last = this.#commands.at(-1);
    switch (mark.kind) {
      case 'prompt':
        this.#promptEnd?.line.dispose();
        this.#promptEnd = { line: here, column: this.#terminal.buffer.active.cursorX };
        break;
      case 'start': {
        this.#commandCount = mark.command;
        const command = last && !last.output ? last : this.#remember(mark.command, here);
        command.command = mark.command;
        command.output = here;
        break;
      }
      case 'end':
        if (last?.command !== mark.command || last.end) {
          here.dispose();
          break;
        }
        last.end = here;
        last.endsWithinLine = this.#terminal.buffer.active.cursorX > 0;
        last.exitCode = mark.exitCode;
        last.durationMs = mark.durationMs;
        break;
    }
  }

  /** A marker of the cursor's line, which follows it through the scrollback. Undefined on the alternate screen, which has none. */
  #mark(): IMarker | undefined {
    return this.isAlternate ? undefined : this.#terminal.registerMarker(0);
  }

  #remember(command: number, prompt: IMarker): Command {
    const made: Command = {
      command,
      prompt,
      output: undefined,
      end: undefined,
      endsWithinLine: false,
      exitCode: null,
      durationMs: null,
    };
    this.#commands = this.#commands.filter(
      ({ end, prompt: begin }) => !(end?.isDisposed && begin.isDisposed),
    );
    this.#commands.push(made);
    if (this.#commands.length > maxCommands) this.#forget(this.#commands.shift());
    return made;
  }

  #forget(command: Command | undefined): void {
    command?.prompt.dispose();
    command?.output?.dispose();
    command?.end?.dispose();
  }

  /** @param firstLine of the buffer in the snapshot */
  #shownCommands(firstLine: number): ShownCommand[] {
    // A marker that has left the scrollback has the line -1.
    const line = (marker: IMarker) => Math.max(0, marker.line - firstLine);
    const isGone = ({ prompt, end }: Command) =>
      end
        ? end.line < firstLine
        : prompt.line < firstLine && prompt.isDisposed && this.#commands.at(-1)?.prompt !== prompt;
    return this.#commands
      .filter((command) => !isGone(command))
      .map((command) => ({
        command: command.command,
        promptLine: line(command.prompt),
        outputLine: command.output ? line(command.output) : null,
        endLine: command.end ? line(command.end) + (command.endsWithinLine ? 1 : 0) : null,
        exitCode: command.exitCode,
        durationMs: command.durationMs,
      }));
  }

  /** Starts with an empty screen at this position: output was dropped before it was parsed, or could not be parsed. */
  #startAnew(position: LogPosition): void {
    for (const command of this.#commands.splice(0)) this.#forget(command);
    this.#promptEnd = undefined;
    this.#terminal.dispose();
    this.#terminal = makeTerminal(this.#log.sizeAt(position));
    this.#position = position;
  }
}

function makeTerminal({ columns, rows }: Size): Terminal {
  const terminal = new HeadlessTerminal({
    cols: columns,
    rows,
    scrollback: scrollbackLines(columns),
    allowProposedApi: true,
    logLevel: 'off',
  });
  prepareTerminal(terminal, new Unicode11Addon());
  // Links (OSC 8) are not drawn here, and each would be remembered with its address.
  terminal.parser.registerOscHandler(8, () => true);
  return terminal;
}

const scrollbackLines = (columns: number): number =>
  Math.min(maxScrollbackLines, Math.floor(scrollbackCells / columns));
