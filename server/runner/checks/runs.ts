/** The lesson's commands that are typed for the learner: each click once, whatever the network does, and the outcome of each. */
import { LabError } from '../../protocol/errors';
import type { ClientMessage, ServerMessage } from '../../protocol/messages';
import type { Busy, RunReport, RunState } from '../../protocol/terminal';

export type RunRequest = Extract<ClientMessage, { type: 'run' }>;
/** What a page is told of its request. */
export type RunAnswer = Extract<ServerMessage, { type: 'run' | 'run-refused' }>;

/** Answers kept, so that a request that is sent again is not executed again. */
const remembered = 500;

const reasons: Record<Busy, { message: string; hint: string }> = {
  program: {
    message: 'A program is still running in this terminal.',
    hint: 'Wait until its prompt is back, or press Ctrl-C in it.',
  },
  'full-screen': {
    message: 'A full-screen program is running in this terminal.',
    hint: 'Quit the program (q in less, :q in vim), then run the command.',
  },
  'half-typed': {
    message: 'There is already text at this terminal’s prompt.',
    hint: 'Press Enter to run it, or Ctrl-C to discard it.',
  },
};

/** A command that was typed. */
interface Run extends Omit<RunReport, 'command'> {
  command: { state: 'typed' } | { state: 'running'; sinceMs: number } | Extract<RunState, { state: 'done' }>;
}

type Outcome = { run: Run } | { refusal: Extract<RunAnswer, { type: 'run-refused' }> };

export class Runs {
  readonly #now: () => number;
  /** By run id. A run that was refused may be asked for again with another `whenBusy`. */
  readonly #outcomes = new Map<string, { whenBusy: RunRequest['whenBusy']; outcome: Promise<Outcome> }>();
  /** The newest run of each block, by `stepId/block`. */
  readonly #newest = new Map<string, Run>();

  /** @param now a monotonic clock, in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Executes a request, unless it was executed before.
   * @param type types the command. Resolves with what stood in the way when the command was not typed. Rejects when it cannot be typed.
   * @returns the outcome; `isNew` when this request was not executed before
   */
  execute(
    request: RunRequest,
    type: () => Promise<Busy | undefined>,
  ): { answer: Promise<RunAnswer>; isNew: boolean } {
    const { runId, whenBusy } = request;
    const before = this.#outcomes.get(runId);
    if (before?.whenBusy === whenBusy) return { answer: this.#answer(before.outcome), isNew: false };
    // In order: the first may still be typing.
    const outcome = (before?.outcome ?? Promise.resolve(undefined)).then((earlier) =>
      earlier && 'run' in earlier ? earlier : this.#attempt(request, type),
    );
    this.#outcomes.delete(runId);
    this.#outcomes.set(runId, { whenBusy, outcome });
    const [oldest] = this.#outcomes.keys();
    if (this.#outcomes.size > remembered && oldest !== undefined) this.#outcomes.delete(oldest);
    return { answer: this.#answer(outcome), isNew: true };
  }

  /** Notes a shell's mark of a run's command. @returns the report for the pages. Undefined when the block has a newer run. */
  note(
    runId: string,
    state: { state: 'running' } | Extract<RunState, { state: 'done' }>,
  ): RunReport | undefined {
    const run = [...this.#newest.values()].find((one) => one.runId === runId);
    if (!run) return undefined;
    run.command = state.state === 'running' ? { state: 'running', sinceMs: this.#now() } : state;
    return this.#report(run);
  }

  /** The newest run of each block that was typed. */
  reports(): RunReport[] {
    return [...this.#newest.values()].map((run) => this.#report(run));
  }

  /** Whether one of the step's commands was typed. */
  has(stepId: string): boolean {
    return [...this.#newest.values()].some((run) => run.stepId === stepId);
  }

  /** The hosts were rewound to before these steps. */
  forget(stepIds: readonly string[]): void {
    for (const [key, run] of this.#newest) if (stepIds.includes(run.stepId)) this.#newest.delete(key);
  }

  async #answer(outcome: Promise<Outcome>): Promise<RunAnswer> {
    const done = await outcome;
    return 'refusal' in done ? done.refusal : { type: 'run', run: this.#report(done.run) };
  }

  #report(run: Run): RunReport {
    const { command } = run;
    return {
      ...run,
      command:
        command.state === 'running'
          ? { state: 'running', elapsedMs: Math.max(0, Math.round(this.#now() - command.sinceMs)) }
          : command,
    };
  }

  async #attempt(request: RunRequest, type: () => Promise<Busy | undefined>): Promise<Outcome> {
    const { runId, stepId, block, terminal } = request;
    const which = { runId, stepId, block, terminal };
    try {
      const busy = await type();
      if (!busy) {
        const run: Run = { ...which, command: { state: 'typed' } };
        this.#newest.set(`${stepId}/${block}`, run);
        return { run };
      }
      const { message, hint } = reasons[busy];
      const error = new LabError('not-at-prompt', message, { hint }).toWire();
      return { refusal: { type: 'run-refused', ...which, error, busy } };
    } catch (error) {
      const wire = LabError.from(error, 'The command was not typed').toWire();
      return { refusal: { type: 'run-refused', ...which, error: wire } };
    }
  }
}
