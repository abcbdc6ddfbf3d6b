/**
 * The commands on one terminal's screen and scrollback: each command's line, output and outcome. All of it comes from the shell's marks.
 * Root in the guest can forge marks, so they only decorate and prove nothing.
 */
import type { IBuffer, IDisposable, IMarker } from '@xterm/xterm';
import type { ShellMark, ShownCommand } from '../../../server/protocol/terminal';
import type { CommandState } from '../session/run-state';

/** More commands than the scrollback usually holds. Limits the cost of a loop that forges marks. */
const maxCommands = 1_000;

/** A command that is on the screen or in the scrollback. */
export interface TrackedCommand {
  /** Counts the terminal's commands from 1. */
  command: number;
  state: CommandState;
  prompt: IMarker;
  output: IMarker;
  /** Line after its output. */
  end: IMarker | undefined;
}

/** The part of a terminal that this class needs. The headless terminal of the tests has it too. */
export interface MarkedTerminal {
  readonly cols: number;
  readonly buffer: {
    readonly active: IBuffer;
    readonly normal: IBuffer;
    onBufferChange: (listener: () => void) => IDisposable;
  };
  registerMarker(cursorYOffset?: number): IMarker | undefined;
  scrollToLine(line: number): void;
  scrollToBottom(): void;
}

export class CommandTrack {
  readonly #terminal: MarkedTerminal;
  readonly #onCommand: (command: TrackedCommand, isCurrent: boolean) => void;
  readonly #onGone: (command: TrackedCommand) => void;
  #commands: TrackedCommand[] = [];
  #prompt: IMarker | undefined;
  /** The command that was jumped to. */
  #current: TrackedCommand | undefined;
  /** Commands of a screen that arrived during a full-screen program, when their lines do not exist yet. */
  #hidden: readonly ShownCommand[] = [];

  /**
   * @param onCommand a command began, ended, or became the current one
   * @param onGone a command has left the scrollback
   */
  constructor(
    terminal: MarkedTerminal,
    onCommand: (command: TrackedCommand, isCurrent: boolean) => void,
    onGone: (command: TrackedCommand) => void,
  ) {
    this.#terminal = terminal;
    this.#onCommand = onCommand;
    this.#onGone = onGone;
    terminal.buffer.onBufferChange(() => {
      const hidden = this.#hidden;
      this.#hidden = [];
      this.show(hidden);
    });
  }

  get commands(): readonly TrackedCommand[] {
    return this.#commands;
  }

  /** The command that was jumped to, else the last one. */
  get current(): TrackedCommand | undefined {
    return this.#current ?? this.#commands.at(-1);
  }

  /** Call this when exactly the output before the mark is parsed. */
  mark(mark: ShellMark): void {
    switch (mark.kind) {
      case 'prompt':
        this.#forgetPrompt();
        this.#prompt = this.#markerHere();
        break;
      case 'start': {
        // A shell within a shell, or a repeated mark after a break.
        if (this.#commands.some(({ command }) => command >= mark.command)) return;
        const output = this.#markerHere();
        if (output === undefined) return;
        const prompt = this.#prompt?.isDisposed === false ? this.#prompt : output;
        this.#prompt = undefined;
        this.#add({
          command: mark.command,
          state: { state: 'running', sinceMs: Date.now() },
          prompt,
          output,
          end: undefined,
        });
        break;
      }
      case 'end': {
        const command = this.#commands.find((one) => one.command === mark.command);
        if (command?.state.state !== 'running') return;
        command.state = { state: 'done', exitCode: mark.exitCode, durationMs: mark.durationMs };
        // Output that does not end with a newline ends on this line.
        command.end = this.#markerHere(this.#terminal.buffer.normal.cursorX > 0 ? 1 : 0);
        this.#onCommand(command, command === this.#current);
        break;
      }
    }
  }

  /** Takes over the commands of a repainted screen. Line 0 is the first line of its scrollback. */
  show(commands: readonly ShownCommand[]): void {
    const { active, normal } = this.#terminal.buffer;
    if (active.type === 'alternate') {
      this.#hidden = commands;
      return;
    }
    const at = (line: number): IMarker | undefined =>
      this.#terminal.registerMarker(line - normal.baseY - normal.cursorY);
    for (const { command, promptLine, outputLine, endLine, exitCode, durationMs } of commands) {
      if (outputLine === null) {
        this.#forgetPrompt();
        this.#prompt = at(promptLine);
        continue;
      }
      const prompt = at(promptLine);
      const output = at(outputLine);
      if (prompt === undefined || output === undefined) continue;
      this.#add({
        command,
        state:
          endLine === null ? { state: 'running', sinceMs: null } : { state: 'done', exitCode, durationMs },
        prompt,
        output,
        end: endLine === null ? undefined : at(endLine),
      });
    }
  }

  /** The terminal was emptied. */
  clear(): void {
    for (const command of this.#commands.splice(0)) this.#remove(command);
    this.#forgetPrompt();
    this.#hidden = [];
    this.#current = undefined;
  }

  /** The learner types again, so the next jump starts at the end. */
  leave(): void {
    const before = this.#current;
    this.#current = undefined;
    if (before !== undefined) this.#onCommand(before, false);
  }

  /**
   * Scrolls to the command before or after the current one.
   * @returns the command; undefined at the end, where the prompt is
   */
  jump(direction: 'previous' | 'next'): TrackedCommand | undefined {
    const at = this.#current === undefined ? this.#commands.length : this.#commands.indexOf(this.#current);
    const index = direction === 'previous' ? Math.max(0, at - 1) : at + 1;
    this.leave();
    const command = this.#commands[index];
    if (command === undefined) {
      this.#terminal.scrollToBottom();
      return undefined;
    }
    this.#current = command;
    this.#terminal.scrollToLine(Math.max(0, command.prompt.line));
    this.#onCommand(command, true);
    return command;
  }

  /** A command's output, as far as the scrollback still holds it. A wrapped line is one line. */
  outputOf({ output, end }: TrackedCommand): string {
    const buffer = this.#terminal.buffer.normal;
    const stop = end?.isDisposed === false ? end.line : buffer.baseY + buffer.cursorY + 1;
    let text = '';
    for (let row = Math.max(0, output.line); row < Math.min(stop, buffer.length); row += 1) {
      const line = buffer.getLine(row);
      if (line === undefined) break;
      const isFirst = row === Math.max(0, output.line);
      const wrapsOn = buffer.getLine(row + 1)?.isWrapped === true && row + 1 < stop;
      text +=
        (line.isWrapped || isFirst ? '' : '\n') + line.translateToString(!wrapsOn, 0, this.#terminal.cols);
    }
    return text.trimEnd();
  }

  #add(command: TrackedCommand): void {
    this.#commands.push(command);
    // The mark goes with the line of its prompt.
    command.prompt.onDispose(() => {
      if (this.#commands.includes(command)) this.#remove(command);
    });
    if (this.#commands.length > maxCommands) {
      const first = this.#commands[0];
      if (first !== undefined) this.#remove(first);
    }
    this.#onCommand(command, false);
  }

  #remove(command: TrackedCommand): void {
    this.#commands = this.#commands.filter((one) => one !== command);
    if (this.#current === command) this.#current = undefined;
    this.#onGone(command);
    for (const marker of [command.prompt, command.output, command.end]) marker?.dispose();
  }

  #forgetPrompt(): void {
    this.#prompt?.dispose();
    this.#prompt = undefined;
  }

  /** A marker on the cursor's line. Undefined during a full-screen program, whose lines vanish with it. */
  #markerHere(below = 0): IMarker | undefined {
    if (this.#terminal.buffer.active.type === 'alternate') return undefined;
    return this.#terminal.registerMarker(below);
  }
}
