/**
 * One terminal: a pty that runs the attach command, and everybody who watches it. It knows nothing of WebSockets.
 *
 * Invariants: `output` holds the newest bytes of the pty, each byte has one offset for the terminal's whole life, also when
 * its shell was replaced; an attachment receives every byte from its offset on, in order, or is told of a gap.
 */
import { spawn, type IPty } from 'node-pty';
import type { HostName } from '../protocol/hosts';
import { RollingBuffer } from './rolling-buffer';
import { ShellMarkScanner, type ShellMark } from './shell-marks';

/** Bytes of one output frame; small enough that a keystroke's echo on another terminal does not wait long behind it. */
const frameBytes = 32 * 1024;
/** Bytes on their way to a client that it has not acknowledged as parsed; more are not sent. */
export const windowBytes = 256 * 1024;
/** The pty is paused while an attachment is this far behind, and resumed below the low mark. */
const highWaterBytes = 512 * 1024;
const lowWaterBytes = 128 * 1024;

/** Somebody who watches a terminal. */
export interface Viewer {
  output(offset: number, bytes: Buffer): void;
  /** Output before `offset` is no longer kept. */
  gap(offset: number): void;
}

export interface Attachment {
  /** The viewer has parsed all output before `offset`; offsets that make no sense are ignored. */
  acknowledge(offset: number): void;
  detach(): void;
}

interface Watcher {
  viewer: Viewer;
  sent: number;
  acknowledged: number;
}

export interface TerminalEvents {
  onMark(mark: ShellMark): void;
  /** The pty's program has ended; the terminal has no shell until {@link Terminal.open} is called again. */
  onExit(): void;
}

export class Terminal {
  private readonly output: RollingBuffer;
  private readonly watchers = new Set<Watcher>();
  private pty: IPty | undefined;
  private marks = new ShellMarkScanner();
  private paused = false;
  private size = { columns: 80, rows: 24 };
  /** Whether the shell waits at its prompt, by its own word. */
  idle = false;
  /** Whether something was typed since the prompt came. */
  typedAtPrompt = false;
  /** A command was entered and the shell has said nothing of it yet: a prompt that comes now was only drawn again. */
  private entered = false;

  constructor(
    readonly id: string,
    readonly host: HostName,
    readonly channel: number,
    private readonly events: TerminalEvents,
    scrollbackBytes: number,
  ) {
    this.output = new RollingBuffer(scrollbackBytes);
  }

  get endOffset(): number {
    return this.output.end;
  }

  /** Starts the program of this terminal, such as the attach command. */
  open(command: readonly [string, ...string[]]): void {
    const [file, ...parameters] = command;
    this.marks = new ShellMarkScanner();
    // `encoding: null` makes node-pty hand out Buffers, which its types do not know.
    const pty = spawn(file, parameters, {
      name: 'xterm-256color',
      cols: this.size.columns,
      rows: this.size.rows,
      encoding: null,
    });
    this.pty = pty;
    this.paused = false;
    this.entered = false;
    pty.onData((data) => {
      this.receive(data as unknown as Buffer);
    });
    pty.onExit(() => {
      if (this.pty !== pty) return;
      this.pty = undefined;
      this.idle = false;
      this.events.onExit();
    });
  }

  /** Shows text of the lab itself, not of the host. */
  notice(text: string): void {
    this.receive(Buffer.from(`\r\n\x1b[2m[${text}]\x1b[0m\r\n`));
  }

  /**
   * Shows text of the lab itself when what is on the screen is over: the screen is an ordinary one again, and all that was on it
   * scrolls away with the text, because the next program begins by clearing it.
   */
  turnPage(text: string): void {
    // DECSTR and the end of the alternate screen (xterm's ctlseqs): a full-screen program may not have come back to undo its own.
    this.receive(Buffer.from('\x1b[?1049l\x1b[!p'));
    this.notice(text);
    this.receive(Buffer.from('\r\n'.repeat(this.size.rows)));
  }

  /** Types bytes as a keyboard would. Dropped while there is no shell. */
  write(bytes: Uint8Array): void {
    this.typedAtPrompt = true;
    this.pty?.write(Buffer.from(bytes));
  }

  /** Types a command at the prompt and enters it; a half-typed line is cut first (bash keeps it for Ctrl-Y). */
  runCommand(text: string): void {
    const clear = this.typedAtPrompt ? '\x05\x15' : '';
    this.idle = false;
    this.write(Buffer.from(`${clear}${text}\r`));
    this.entered = true;
  }

  resize(columns: number, rows: number): void {
    this.size = { columns, rows };
    this.pty?.resize(columns, rows);
  }

  /** Starts to watch from byte `offset` of the output on, or from the oldest byte kept. */
  attach(viewer: Viewer, offset: number): Attachment {
    const from = Math.min(Math.max(offset, this.output.start), this.output.end);
    const watcher: Watcher = { viewer, sent: from, acknowledged: from };
    this.watchers.add(watcher);
    if (from !== offset) viewer.gap(from);
    this.feed(watcher);
    return {
      acknowledge: (parsed) => {
        if (parsed <= watcher.acknowledged || parsed > watcher.sent) return;
        watcher.acknowledged = parsed;
        this.feed(watcher);
        this.balance();
      },
      detach: () => {
        this.watchers.delete(watcher);
        this.balance();
      },
    };
  }

  close(): void {
    const pty = this.pty;
    this.pty = undefined;
    pty?.kill('SIGKILL');
  }

  private receive(data: Buffer): void {
    this.output.append(data);
    for (const watcher of this.watchers) this.feed(watcher);
    this.balance();
    for (const mark of this.marks.scan(data)) {
      if (mark.kind !== 'prompt') this.entered = false;
      else if (this.entered) continue;
      this.idle = mark.kind === 'prompt';
      if (mark.kind === 'prompt') this.typedAtPrompt = false;
      this.events.onMark(mark);
    }
  }

  private feed(watcher: Watcher): void {
    if (watcher.sent < this.output.start) {
      watcher.sent = watcher.acknowledged = this.output.start;
      watcher.viewer.gap(watcher.sent);
    }
    while (watcher.sent < this.output.end && watcher.sent - watcher.acknowledged < windowBytes) {
      const bytes = this.output.read(watcher.sent, frameBytes);
      watcher.viewer.output(watcher.sent, bytes);
      watcher.sent += bytes.length;
    }
  }

  /** With nobody watching the pty drains into the buffer; a slow watcher slows the program, as a slow terminal would. */
  private balance(): void {
    let behind = 0;
    for (const watcher of this.watchers) {
      behind = Math.max(behind, this.output.end - watcher.acknowledged);
    }
    if (!this.paused && behind > highWaterBytes) {
      this.paused = true;
      this.pty?.pause();
    } else if (this.paused && behind < lowWaterBytes) {
      this.paused = false;
      this.pty?.resume();
    }
  }
}
