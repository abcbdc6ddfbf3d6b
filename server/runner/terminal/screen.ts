/**
 * What a terminal shows: an xterm.js without a page that reads along in the terminal's log, so that a page that has missed too
 * much can be given the screen as it is. It answers no query of any program: that is for the page that a learner looks at, and
 * with nobody looking a query stays unanswered.
 *
 * Invariant: the headless terminal is in exactly the state that the output before `place` leaves it in, but while the end of a flood
 * has not been parsed of which the beginning was skipped; nobody is told to look then. And `place` is never in the middle of an
 * escape sequence or a character (but for strings of over {@link Screen.maxUnfinished} bytes).
 */
import { isAscii } from 'node:buffer';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import * as headless from '@xterm/headless';
import type { IMarker, Terminal } from '@xterm/headless';
import type { ShownCommand } from '../../protocol/terminal';
import { prepareTerminal } from '../../protocol/xterm';
import type { LogEvent, OutputLog, LogPosition, Size } from './output-log';
import { coreOf, repaint } from './repaint';
import type { SequenceScanner } from './sequences';

// Node finds no named export in this package, a bundler does.
const { Terminal: HeadlessTerminal } = (
  'default' in headless ? headless.default : headless
) as typeof headless;

/** A cell takes 12 bytes in xterm.js: 2 MB for the scrollback, 1300 lines of 120 columns. */
const scrollbackCells = 160_000;
const maxScrollbackLines = 2000;
/** A sequence that is longer is parsed in parts: a string such as a clipboard's content, which changes nothing on the screen. */
const maxUnfinishedBytes = 64 * 1024;
/** Parsing waits this long for more, unless somebody waits for it: what a page shows must not wait for what nobody may ask for. */
const idleMs = 20;
/** While this much comes in that time, there is more to come. */
const floodBytes = 64 * 1024;
/** Parsed at once; other terminals' keystrokes wait meanwhile, some milliseconds. */
const pieceBytes = 32 * 1024;
const sliceMs = 4;
/** So much plain text is looked at together: only its end stays on the screen and in the scrollback. */
const maxBatchBytes = 512 * 1024;
const minBatchBytes = 64 * 1024;
/** Bytes below 0x20 that do not let plain text be skipped: they move the cursor back, change the character set or begin a sequence. */
const notPlain = [0x08, 0x0e, 0x0f, 0x1b];
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
/** Commands remembered; more than a scrollback of short ones holds is of no use. */
const maxCommands = 500;
/** A screen that would be sent with more (each cell of another colour) is sent without its scrollback. */
const maxSnapshotCharacters = 2_000_000;

export interface Snapshot {
  place: LogPosition;
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
  /** Its output did not end with a line's end: the line after it is the next one. */
  endsWithinLine: boolean;
  exitCode: number | null;
  durationMs: number | null;
}

export class Screen {
  private terminal: Terminal;
  private place: LogPosition;
  private timer: NodeJS.Timeout | undefined;
  private soon: NodeJS.Immediate | undefined;
  private waiting: { until: number; resolve: () => void }[] = [];
  private readonly batchBytes: number;
  /** Less than the lag at which the pty is paused: of what is never finished all would wait for its end otherwise, and never get it. */
  private readonly maxUnfinished: number;
  /** Output before the place was skipped: the headless terminal is as the invariant says when the place has come here. */
  private skippedUntil = 0;
  /** All before this was looked at, and what was not skipped has to be parsed. */
  private lookedUntil = 0;
  private commands: Command[] = [];
  private commandCount = 0;
  private promptEnd: { line: IMarker; column: number } | undefined;
  private isDisposed = false;

  /**
   * @param scanner has read all that is in the log
   * @param onProgress called when some of the log has been parsed
   */
  constructor(
    private readonly log: OutputLog,
    private readonly scanner: SequenceScanner,
    private readonly onProgress: () => void,
  ) {
    this.place = log.endPlace;
    this.batchBytes = Math.min(maxBatchBytes, log.capacity / 2);
    this.maxUnfinished = Math.min(maxUnfinishedBytes, log.capacity / 4);
    this.terminal = makeTerminal(log.sizeAt(this.place));
  }

  /** Bytes of the log that have not been parsed. */
  get lag(): number {
    return this.log.end - this.place.offset;
  }

  /** There is more in the log. */
  wake(): void {
    if (this.lag >= this.batchBytes) this.continueSoon();
    else if (!this.soon && !this.timer) {
      const { end } = this.log;
      this.timer = setTimeout(() => {
        this.timer = undefined;
        if (this.log.end - end >= floodBytes) this.wake();
        else this.parse();
      }, idleMs);
    }
  }

  /** Resolves when all that is in the log now has been parsed, as far as it is complete. */
  settled(): Promise<void> {
    if (this.isDisposed) return Promise.resolve();
    return new Promise((resolve) => {
      this.waiting.push({ until: this.safeEnd, resolve });
      if (!this.soon) this.parse();
    });
  }

  /** Whether a program has taken the whole screen. As of what has been parsed. */
  get isAlternate(): boolean {
    return this.terminal.buffer.active.type === 'alternate';
  }

  /** Whether the cursor stands right behind the prompt and nothing stands behind it. As of what has been parsed. */
  get isAtEmptyPrompt(): boolean {
    const buffer = this.terminal.buffer.active;
    const prompt = this.promptEnd;
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
    const { cols: columns, rows } = this.terminal;
    const normal = this.terminal.buffer.normal;
    let scrollback = normal.baseY;
    let data = repaint(this.terminal, scrollback);
    while (data.length > maxSnapshotCharacters && scrollback > 0) {
      scrollback = Math.floor(scrollback / 8);
      data = repaint(this.terminal, scrollback);
    }
    const isWithinString = this.place.offset === this.log.end && this.scanner.unfinished > 0;
    return {
      place: this.place,
      size: { columns, rows },
      data: Buffer.from(data + (isWithinString ? this.scanner.reopening : '')),
      commands: this.shownCommands(normal.baseY - scrollback),
    };
  }

  dispose(): void {
    this.isDisposed = true;
    clearTimeout(this.timer);
    clearImmediate(this.soon);
    this.terminal.dispose();
    for (const { resolve } of this.waiting.splice(0)) resolve();
  }

  /** Up to here sequences are complete. */
  private get safeEnd(): number {
    const { unfinished } = this.scanner;
    return this.log.end - (unfinished > this.maxUnfinished ? 0 : unfinished);
  }

  private continueSoon(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.soon ??= setImmediate(() => {
      this.soon = undefined;
      this.parse();
    });
  }

  /** Parses what there is, for a while. */
  private parse(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.isDisposed) return;
    const until = performance.now() + sliceMs;
    let isAtEnd = false;
    let canRest = false;
    while (!isAtEnd && !canRest && performance.now() < until) {
      if (!this.log.has(this.place)) this.startAnew(this.log.positionAt(this.log.start) ?? this.log.endPlace);
      const left = this.safeEnd - this.place.offset;
      // Somebody who waits is not kept waiting by what comes meanwhile.
      const isOwed = this.waiting.length > 0 && this.place.offset < this.skippedUntil;
      const maySkip = left >= minBatchBytes && !isOwed && this.place.offset >= this.lookedUntil;
      const item = this.log.at(this.place, Math.min(left, maySkip ? this.batchBytes : pieceBytes));
      if (item === undefined) {
        isAtEnd = true;
        continue;
      }
      if (item.type === 'event') {
        this.apply(item.event);
        this.place = item.next;
        continue;
      }
      if (maySkip) {
        const skipped = this.skippable(item.bytes);
        if (skipped > 0) {
          this.place = { ...item.next, offset: item.offset + skipped };
          this.skippedUntil = item.next.offset;
          canRest = this.waiting.length === 0 && this.lag < this.batchBytes;
          continue;
        }
        this.lookedUntil = item.next.offset;
      }
      const piece = item.bytes.subarray(0, pieceBytes);
      this.place = { ...item.next, offset: item.offset + piece.length };
      try {
        // Not by `write`: what fails there fails where nobody can catch it, and no program may end the runner by its output.
        coreOf(this.terminal).writeSync(piece);
      } catch {
        this.startAnew(this.place);
      }
    }
    if (canRest) this.wake();
    else if (!isAtEnd) this.continueSoon();
    // What happened right behind the bytes that are waited for belongs to them.
    const isDone = (offset: number) =>
      this.place.offset >= this.skippedUntil &&
      (isAtEnd ? offset <= this.place.offset : offset < this.place.offset);
    const done = this.waiting.filter(({ until: offset }) => isDone(offset));
    this.waiting = this.waiting.filter(({ until: offset }) => !isDone(offset));
    for (const { resolve } of done) resolve();
    this.onProgress();
  }

  /**
   * How many bytes at the beginning of this output leave no trace: all of it is lines of plain text, and those behind fill
   * screen and scrollback once they are parsed. Of a flood only its end is parsed by this.
   */
  private skippable(bytes: Buffer): number {
    const { buffer } = coreOf(this.terminal);
    const { rows } = this.terminal;
    if (buffer.scrollTop !== 0 || buffer.scrollBottom !== rows - 1) return 0;
    if (!isAscii(bytes) || notPlain.some((byte) => bytes.includes(byte))) return 0;
    // The first lines may be drawn over what is on the screen, so that they must scroll away too.
    let needed = scrollbackLines(this.terminal.cols) + 2 * rows;
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

  private apply(event: LogEvent): void {
    const { terminal } = this;
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
        const prompt = this.mark();
        if (!prompt) break;
        const last = this.commands.at(-1);
        // Drawn again: the command that is being typed has one prompt.
        if (last && !last.output) this.forget(this.commands.pop());
        this.remember(this.commandCount + 1, prompt);
        break;
      }
      case 'mark':
        this.applyMark(event.mark);
        break;
    }
  }

  private applyMark(mark: Extract<LogEvent, { type: 'mark' }>['mark']): void {
    const here = this.mark();
    if (!here) return;
    const last = this.commands.at(-1);
    switch (mark.kind) {
      case 'prompt':
        this.promptEnd?.line.dispose();
        this.promptEnd = { line: here, column: this.terminal.buffer.active.cursorX };
        break;
      case 'start': {
        this.commandCount = mark.command;
        const command = last && !last.output ? last : this.remember(mark.command, here);
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
        last.endsWithinLine = this.terminal.buffer.active.cursorX > 0;
        last.exitCode = mark.exitCode;
        last.durationMs = mark.durationMs;
        break;
    }
  }

  /** The line of the cursor, wherever it goes; undefined on the alternate screen, which has no scrollback. */
  private mark(): IMarker | undefined {
    return this.isAlternate ? undefined : this.terminal.registerMarker(0);
  }

  private remember(command: number, prompt: IMarker): Command {
    const made: Command = {
      command,
      prompt,
      output: undefined,
      end: undefined,
      endsWithinLine: false,
      exitCode: null,
      durationMs: null,
    };
    this.commands = this.commands.filter(({ end, prompt: begin }) => !(end?.isDisposed && begin.isDisposed));
    this.commands.push(made);
    if (this.commands.length > maxCommands) this.forget(this.commands.shift());
    return made;
  }

  private forget(command: Command | undefined): void {
    command?.prompt.dispose();
    command?.output?.dispose();
    command?.end?.dispose();
  }

  /** @param firstLine of the buffer that is shown */
  private shownCommands(firstLine: number): ShownCommand[] {
    // Of a marker that has left the scrollback the line is -1.
    const line = (marker: IMarker) => Math.max(0, marker.line - firstLine);
    const isGone = ({ prompt, end }: Command) =>
      end
        ? end.line < firstLine
        : prompt.line < firstLine && prompt.isDisposed && this.commands.at(-1)?.prompt !== prompt;
    return this.commands
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

  /** The screen is an empty one from this place on: output was dropped before it was parsed, or could not be parsed. */
  private startAnew(place: LogPosition): void {
    for (const command of this.commands.splice(0)) this.forget(command);
    this.promptEnd = undefined;
    this.terminal.dispose();
    this.terminal = makeTerminal(this.log.sizeAt(place));
    this.place = place;
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
