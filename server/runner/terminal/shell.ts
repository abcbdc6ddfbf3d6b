/** The shell of a terminal: keeps its state as its marks come, notes the marks in the log, and tells what changes. */
import type { RunState } from '../../protocol/terminal';
import { TokenBucket } from '../token-bucket';
import type { OutputLog } from './output-log';
import type { Mark } from './sequences';
import {
  afterEnd,
  afterEntering,
  afterPrompt,
  afterStart,
  afterTyping,
  attached,
  gone,
  isIdle,
  openRuns,
  typedAtMs,
  type ShellState,
} from './shell-state';

/** Pages are told at most this often whether a shell is idle: marks can be forged faster than any page can read. */
const idleNewsMs = 50;
/** Marks noted in the log. A shell that reads a script of hundreds of lines stays below this. */
const marksAtOnce = 1000;
const marksPerSecond = 100;

export interface ShellEvents {
  /** The shell began or ceased to wait for a command, by its own word. */
  onIdle(idle: boolean): void;
  /** A prompt has come while no entered command was on its way: whatever ran before it has ended. */
  onPrompt(): void;
  /** The command of a run began, by its shell's word, or is over: by its shell's word, or because its shell ended. */
  onRun(runId: string, state: { state: 'running' } | Extract<RunState, { state: 'done' }>): void;
}

export class Shell {
  readonly #log: OutputLog;
  readonly #events: ShellEvents;
  #state: ShellState = gone;
  #count = 0;
  #commands = 0;
  readonly #markTokens = new TokenBucket(marksAtOnce, marksPerSecond);
  #toldIdle = false;
  #idleNews: NodeJS.Timeout | undefined;

  constructor(log: OutputLog, events: ShellEvents) {
    this.#log = log;
    this.#events = events;
  }

  /** How many shells this terminal has had. Tells a shell from the one before it. */
  get count(): number {
    return this.#count;
  }

  /** Whether the shell waits at its prompt, by its own word. */
  get idle(): boolean {
    return isIdle(this.#state);
  }

  /** The shell waits, and its line is empty by its own word. */
  get isAtCleanPrompt(): boolean {
    return this.#state.at === 'prompt' && this.#state.line === 'clean';
  }

  /** When something was typed last, in Unix milliseconds. */
  get typedAtMs(): number {
    return typedAtMs(this.#state);
  }

  /** The terminal has a new shell. */
  attached(): void {
    this.gone();
    this.#count += 1;
    this.#state = attached;
  }

  /** The shell has ended, or the terminal has let go of it. */
  gone(): void {
    const runs = openRuns(this.#state);
    this.#state = gone;
    for (const runId of runs) this.#events.onRun(runId, { state: 'done', exitCode: null, durationMs: null });
    this.#tellIdle();
  }

  typed(): void {
    this.#state = afterTyping(this.#state, Date.now());
  }

  /** The command of a run was typed and entered. */
  entered(runId: string): void {
    this.#state = afterEntering(this.#state, runId);
    this.#tellIdle();
  }

  /** A mark has come, after all that is in the log. */
  handle(mark: Mark): void {
    const isNoted = this.#markTokens.take();
    switch (mark.kind) {
      case 'prompt-start':
        if (isNoted) this.#log.note({ type: 'prompt-start' });
        break;
      case 'prompt':
        if (isNoted) this.#log.note({ type: 'mark', mark: { kind: 'prompt' } });
        this.#state = afterPrompt(this.#state);
        if (this.#state.at !== 'prompt') break;
        this.#tellIdle();
        this.#events.onPrompt();
        break;
      case 'start': {
        this.#state = afterStart(this.#state, ++this.#commands, Date.now());
        if (this.#state.at !== 'running') break;
        const { command } = this.#state;
        if (isNoted) this.#log.note({ type: 'mark', mark: { kind: 'start', ...command } });
        if (command.runId !== undefined) this.#events.onRun(command.runId, { state: 'running' });
        this.#tellIdle();
        break;
      }
      case 'end': {
        const { state, ended } = afterEnd(this.#state);
        this.#state = state;
        if (!ended) break;
        const { atMs, ...which } = ended;
        const durationMs = Math.max(0, Date.now() - atMs);
        const { exitCode } = mark;
        if (isNoted) this.#log.note({ type: 'mark', mark: { kind: 'end', ...which, exitCode, durationMs } });
        if (which.runId !== undefined)
          this.#events.onRun(which.runId, { state: 'done', exitCode, durationMs });
        break;
      }
    }
  }

  dispose(): void {
    clearTimeout(this.#idleNews);
  }

  #tellIdle(): void {
    const { idle } = this;
    if (this.#idleNews || this.#toldIdle === idle) return;
    this.#toldIdle = idle;
    this.#events.onIdle(idle);
    this.#idleNews = setTimeout(() => {
      this.#idleNews = undefined;
      this.#tellIdle();
    }, idleNewsMs);
  }
}
