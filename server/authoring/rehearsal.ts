/** Does a lesson as a learner would: through the gateway, with the page's requests and in the page's terminals. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import type { Learner } from '../client/learner';
import { fillValues, splitAtValues } from '../lessons/fill';
import type { Lesson, Run, Solve, Step } from '../lessons/lesson';
import { missingLine, plainText } from '../lessons/output';
import { hostNames } from '../protocol/hosts';
import type { StepState } from '../protocol/session';
import type { ShellMark } from '../protocol/terminal';

/** Cloning two hosts and logging in takes 4 s on an idle machine with 2 cores under TCG, a minute on a busy one. */
const readyTimeoutMs = 180_000;
/** The slowest command of a lesson, a JVM's checkpoint or restore under TCG, takes about 20 s alone. */
const commandTimeoutMs = 240_000;
/** A check runs for some seconds under TCG, and may have to wait for the previous check. */
const checkTimeoutMs = 120_000;
/** A check may see the effect of a command only this much later, such as the start of a web application. */
const passTimeoutMs = 240_000;
/** A failure shows this many last lines of each terminal. */
const shownLines = 25;

/** The byte that a terminal's Ctrl-C sends. */
const interruptKey = '\x03';
/** Text in xterm's bracketed paste: the shell takes all its lines as one command. */
const pasted = (text: string): string => `\x1b[200~${text}\x1b[201~\r`;

/** Outcome of a run block. */
interface RunResult {
  /** Null for a command that kept running or that Ctrl-C ended. */
  exitCode: number | null;
  ms: number;
  /** Plain text. For a command that keeps running, its output until the step was done. */
  output: string;
}

/** Outcome of a step. */
export interface StepResult {
  ms: number;
  runs: RunResult[];
  /** Message of the check before the step, and after it. */
  before: string;
  after: string;
}

/** A step that failed. The message begins with file and line and ends with the terminals' last lines. */
export class StepFailure extends Error {
  /** @param line of lesson.mdx, where the step failed */
  constructor(
    readonly stepId: string,
    readonly line: number,
    readonly reason: string,
    readonly screens: string,
    place: string,
    cause: unknown,
  ) {
    super(`${place}:${line}: ${reason}\n${screens}`, { cause });
  }
}

/** A command that the rehearsal typed. */
interface Typed {
  run: Run;
  terminal: string;
  /** Offset of its output in the terminal's output. */
  from: number;
  /** Number of messages that arrived before it. */
  after: number;
  sinceMs: number;
  result: RunResult;
}

export class Rehearsal {
  readonly #learner: Learner;
  readonly #lesson: Lesson;
  /** Terminals whose command keeps running in later steps. */
  readonly #held = new Set<string>();
  /** Terminals that were held when a step began, by the step's id. A rewind restores them. */
  readonly #heldBefore = new Map<string, ReadonlySet<string>>();
  /** The last step that passed, while nothing has changed on the hosts since. */
  #passed: Step | undefined;
  #size = { columns: 120, rows: 40 };

  constructor(learner: Learner, lesson: Lesson) {
    this.#learner = learner;
    this.#lesson = lesson;
  }

  /**
   * Starts a session and waits for a prompt on both hosts.
   * @returns the id of the session's sandbox
   * @throws LabError `no-session` when the machine has no room for another pair
   */
  async start(columns = 120, rows = 40): Promise<string> {
    this.#size = { columns, rows };
    await this.#learner.startSession(this.#lesson.id);
    const hello = await this.#learner.connect();
    for (const { id } of hello.terminals) this.#learner.attach(id, columns, rows);
    await this.#learner.until(
      () =>
        this.#learner.latest('pair')?.pair.phase === 'failed' ||
        hostNames.every((host) => this.#isAtPrompt(host)),
      readyTimeoutMs,
      'prompt on both hosts',
    );
    const error = this.#learner.latest('pair')?.pair.error;
    if (error) throw new Error(`The hosts failed to start: ${error.message}`);
    return hello.sandboxId;
  }

  /**
   * Does one step: first its check must fail, then each command must end as the lesson says, then the check must pass.
   * @throws StepFailure
   */
  async doStep(step: Step): Promise<StepResult> {
    const sinceMs = Date.now();
    const place = { line: step.line };
    this.#heldBefore.set(step.id, new Set(this.#held));
    try {
      const before = await this.#before(step);
      if (before.state === 'passed') throw new Error(`The check passes before the step: ${before.message}`);
      if (before.message === '') throw new Error('The check fails without a message.');
      const typed = await this.perform(step, place);
      place.line = step.checks[0]?.line ?? step.line;
      const after = await this.#pass(step);
      const ms = Date.now() - sinceMs;
      await this.#interrupt(typed);
      await this.#atPrompts();
      this.#passed = typed.some(({ run }) => run.interrupt !== undefined) ? undefined : step;
      const runs = typed.map((one) => one.result);
      return { ms, runs, before: before.message, after: after.message };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const file = `lessons/${this.#lesson.id}/lesson.mdx`;
      throw new StepFailure(step.id, place.line, reason, this.screens(), file, cause);
    }
  }

  /**
   * Types all commands and solutions of a step.
   * @param place receives the line of the current block
   */
  async perform(step: Step, place: { line: number }): Promise<Typed[]> {
    const typed: Typed[] = [];
    for (const [index, run] of step.runs.entries()) {
      place.line = run.line;
      typed.push(await this.#run(step, index, run));
    }
    for (const solve of step.solves) {
      place.line = solve.line;
      await this.#solve(solve);
    }
    return typed;
  }

  /** Runs a step's check now. */
  async check(step: Step): Promise<StepState> {
    const after = this.#learner.messages.length;
    this.#learner.connection.check(step.id);
    const message = await this.#learner.waitFor(
      'step',
      ({ stepId }) => stepId === step.id,
      checkTimeoutMs,
      after,
    );
    return message.step;
  }

  /** Why the hosts are gone; undefined while they run. */
  loss(): string | undefined {
    const { closeCode } = this.#learner;
    const error = this.#learner.latest('pair')?.pair.error;
    if (error) return error.message;
    const ended = this.#learner.latest('ended');
    if (ended) return `The session has ended (${ended.reason}).`;
    return closeCode === undefined ? undefined : `The connection was closed with code ${closeCode}.`;
  }

  /**
   * Waits until the lab has saved the state in which a step begins. A busy machine takes longer to save it than to do a short
   * step. Without the wait, a rewind would be impossible or would restore a later state.
   */
  async untilKept(step: Step): Promise<void> {
    await this.#learner.until(
      () => this.#learner.latest('saves')?.saves.some(({ stepId }) => stepId === step.id) === true,
      readyTimeoutMs,
      `saved state in which “${step.title}” begins`,
    );
  }

  /** Rewinds to the beginning of a step, held terminals included. */
  async rewind(step: Step): Promise<void> {
    const after = this.#learner.messages.length;
    this.#learner.connection.rewind(step.id);
    await this.#learner.until(
      () => {
        const news = this.#learner.messages.slice(after);
        const failure = news.find((message) => message.type === 'error');
        if (failure?.type === 'error') throw new Error(failure.error.message);
        return news.some((message) => message.type === 'rewound');
      },
      readyTimeoutMs,
      'way back',
    );
    this.#passed = undefined;
    this.#held.clear();
    for (const terminal of this.#heldBefore.get(step.id) ?? []) this.#held.add(terminal);
    await this.#atPrompts();
  }

  /** Gives the pair back. */
  async end(): Promise<void> {
    await this.#learner.gateway.deleteSession();
    this.#learner.cut();
  }

  /** The end of what each terminal shows. */
  screens(): string {
    return [...this.#learner.screens.keys()]
      .sort()
      .map((terminal) => {
        const lines = stripVTControlCharacters(this.#learner.screen(terminal)).split(/\r?\n/);
        return [`── ${terminal}`, ...lines.slice(-shownLines)].join('\n');
      })
      .join('\n');
  }

  async #run(step: Step, index: number, block: Run): Promise<Typed> {
    const names = this.#lesson.values.map((value) => value.name);
    const needed = splitAtValues(block.text, names).flatMap((part) =>
      'valueName' in part ? [part.valueName] : [],
    );
    await this.#learner.until(
      () => needed.every((name) => this.#learner.latest('values')?.values[name] !== undefined),
      checkTimeoutMs,
      `value for ${needed.join(', ')}`,
    );
    const terminal = await this.#terminalOf(block);
    await this.#freeTerminal(terminal);
    const from = this.#bytes(terminal).length;
    const after = this.#learner.messages.length;
    const sinceMs = Date.now();
    const runId = randomUUID();
    this.#learner.connection.run({ runId, stepId: step.id, block: index, terminal, whenBusy: 'cut-line' });
    const answer = await this.#learner.runAnswer(runId, 30_000);
    if (answer.type === 'run-refused')
      throw new Error(`The lab refused to type the command: ${answer.error.message}`);

    const typed: Typed = {
      run: block,
      terminal,
      from,
      after,
      sinceMs,
      result: { exitCode: null, ms: 0, output: '' },
    };
    if (block.background || block.interrupt !== undefined) {
      await this.#untilMarks(typed, (marks) => marks.some(({ kind }) => kind === 'start'), 'start');
      this.#held.add(terminal);
      if (typeof block.interrupt === 'number') {
        await sleep(block.interrupt * 1000);
        await this.#interrupt([typed]);
      }
      this.#note(typed);
      return typed;
    }
    const marks = await this.#untilEnd(typed);
    const exitCode = marks.find((mark) => mark.kind === 'end')?.exitCode ?? null;
    this.#note(typed);
    typed.result.exitCode = exitCode;
    if (exitCode !== block.exit) {
      const wanted = block.exit === 0 ? '' : ` and not with ${block.exit}`;
      throw new Error(`\`${block.text}\` ended with exit code ${exitCode ?? 'none'}${wanted}.`);
    }
    if (block.output) {
      const known = this.#learner.latest('values')?.values ?? {};
      const filled = fillValues(block.output.text, names, known);
      const missing = missingLine('text' in filled ? filled.text : block.output.text, typed.result.output);
      if (missing !== undefined) {
        throw new Error(`\`${block.text}\` did not print what line ${block.output.line} says: ${missing}`);
      }
    }
    return typed;
  }

  /** Types the solution of an exercise and waits until the shell has finished it. */
  async #solve(block: Solve): Promise<void> {
    const terminal = await this.#terminalOf(block);
    await this.#freeTerminal(terminal);
    const after = this.#learner.messages.length;
    this.#learner.type(terminal, pasted(block.text));
    await this.#untilEnd({ terminal, after });
  }

  /** Waits for a prompt in a terminal that the next command needs. */
  async #freeTerminal(terminal: string): Promise<void> {
    await this.#learner.until(
      () => this.#isAtPrompt(terminal),
      commandTimeoutMs,
      `prompt in ${terminal}, where a command goes on`,
    );
    this.#held.delete(terminal);
  }

  /** Presses Ctrl-C in each terminal whose command the lesson interrupts. */
  async #interrupt(typed: readonly Typed[]): Promise<void> {
    for (const one of typed) {
      if (one.run.interrupt === undefined || !this.#held.has(one.terminal)) continue;
      this.#learner.type(one.terminal, interruptKey);
      await this.#untilEnd(one);
      this.#held.delete(one.terminal);
    }
    for (const one of typed) if (one.run.background || one.run.interrupt !== undefined) this.#note(one);
  }

  #note(typed: Typed): void {
    typed.result.output = this.#outputOf(typed);
    typed.result.ms = Date.now() - typed.sinceMs;
  }

  /** Output between the start and end marks of the command. */
  #outputOf({ terminal, from }: Typed): string {
    const shown = this.#bytes(terminal).subarray(from).toString();
    return plainText(/\x1b\]133;C\x07([\s\S]*?)(?:\x1b\]133;D|$)/.exec(shown)?.[1] ?? '');
  }

  #untilEnd(typed: { terminal: string; after: number }): Promise<ShellMark[]> {
    return this.#untilMarks(
      typed,
      (marks) => {
        const started = marks.findIndex(({ kind }) => kind === 'start');
        return started >= 0 && marks.slice(started).some(({ kind }) => kind === 'prompt');
      },
      'end',
    );
  }

  async #untilMarks(
    { terminal, after }: { terminal: string; after: number },
    condition: (marks: ShellMark[]) => boolean,
    what: string,
  ): Promise<ShellMark[]> {
    let marks: ShellMark[] = [];
    await this.#learner.until(
      () => {
        marks = this.#learner.messages
          .slice(after)
          .flatMap((message) =>
            message.type === 'mark' && message.terminal === terminal ? [message.mark] : [],
          );
        return condition(marks);
      },
      commandTimeoutMs,
      `${what} of the command in ${terminal}`,
    );
    return marks;
  }

  /**
   * Result of a step's check before the step. After a step passes, the runner checks the next one by itself. That result counts
   * unless Ctrl-C ended something since; then the rehearsal asks for a check.
   */
  async #before(step: Step): Promise<StepState> {
    const passed = this.#passed;
    if (!passed || this.#lesson.steps[this.#lesson.steps.indexOf(passed) + 1] !== step)
      return this.check(step);
    const after = this.#learner.messages.findLastIndex(
      (message) => message.type === 'step' && message.stepId === passed.id && message.step.state === 'passed',
    );
    const looked = await this.#learner.waitFor(
      'step',
      ({ stepId }) => stepId === step.id,
      checkTimeoutMs,
      after + 1,
    );
    return looked.step;
  }

  /** Waits for the runner's own checks, as a learner does. */
  async #pass(step: Step): Promise<StepState> {
    const latest = (): StepState | undefined =>
      this.#learner.latest('step', ({ stepId }) => stepId === step.id)?.step;
    try {
      await this.#learner.until(() => latest()?.state === 'passed', passTimeoutMs, 'passed check');
    } catch (cause) {
      throw new Error(`The check does not pass: ${latest()?.message ?? 'it never ran'}`, { cause });
    }
    return latest() ?? { state: 'open', message: '', checkedAtMs: null };
  }

  /** Waits until every terminal is at its prompt, except those that are held. */
  async #atPrompts(): Promise<void> {
    await this.#learner.until(
      () => this.#learner.terminals.every(({ id }) => this.#held.has(id) || this.#isAtPrompt(id)),
      commandTimeoutMs,
      'prompt in every terminal',
    );
  }

  /** Id of a block's terminal. The first use of a host's second terminal opens it. */
  async #terminalOf({ host, terminal }: Run | Solve): Promise<string> {
    if (terminal === 1) return host;
    const second = () =>
      this.#learner.terminals.filter((candidate) => candidate.host === host).map(({ id }) => id)[
        terminal - 1
      ];
    if (second() === undefined) {
      this.#learner.connection.openTerminal(host, randomUUID());
      await this.#learner.until(() => second() !== undefined, readyTimeoutMs, `second terminal on ${host}`);
      this.#learner.attach(second() ?? host, this.#size.columns, this.#size.rows);
    }
    return second() ?? host;
  }

  #isAtPrompt(terminal: string): boolean {
    return this.#learner.latest('prompt', (prompt) => prompt.terminal === terminal)?.idle === true;
  }

  #bytes(terminal: string): Buffer {
    return this.#learner.screens.get(terminal) ?? Buffer.alloc(0);
  }
}
