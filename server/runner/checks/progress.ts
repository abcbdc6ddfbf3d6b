/** Where a learner is in a lesson: which steps are done, and the values read from the hosts. */
import { LabError } from '../../protocol/errors';
import { hostNames, type HostName } from '../../protocol/hosts';
import type { StepState } from '../../protocol/session';
import type { ScriptResult } from '../../host/control-channel';
import type { Block, Lesson, Step, Value } from '../../lessons/lesson';

/** A check takes 0.2 to 3 s under TCG; one that hangs must not hold up the others for long. */
const checkTimeoutMs = 60_000;

export interface ProgressEvents {
  onStep(stepId: string, state: StepState): void;
  /** A step's check has passed that had not before. */
  onPassed(step: Step): void;
  onValues(values: Readonly<Record<string, string>>): void;
  /** A host could not be asked. The step's message says so in words that a learner may see; the error's cause is for the log. */
  onError(host: HostName, error: LabError): void;
}

/** Runs scripts on a host as root, one after the other, outside of any terminal. Rejects while the hosts are not ready. */
export type RunOnHost = (
  host: HostName,
  scripts: readonly string[],
  timeoutMs: number,
) => Promise<readonly ScriptResult[]>;

/** What a script of a lesson said. */
interface Answer {
  ok: boolean;
  /** The last line that it printed. */
  message: string;
  stdout: string;
}

export class Progress {
  readonly #runOnHost: RunOnHost;
  readonly #events: ProgressEvents;
  readonly #steps: Map<string, StepState>;
  #known: Record<string, string> = {};
  #checking: Promise<void> | undefined;
  #isCheckWanted = false;
  #checkedAtMs = 0;
  /** Counts the rewinds. What a check saw before a rewind no longer holds. */
  #generation = 0;

  constructor(
    readonly lesson: Lesson,
    runOnHost: RunOnHost,
    events: ProgressEvents,
  ) {
    this.#runOnHost = runOnHost;
    this.#events = events;
    this.#steps = new Map(lesson.steps.map((step) => [step.id, untouched]));
  }

  /** When the last round ended; while one runs, now. Milliseconds since the epoch. */
  get checkedAtMs(): number {
    return this.#checking ? Date.now() : this.#checkedAtMs;
  }

  get values(): Readonly<Record<string, string>> {
    return this.#known;
  }

  /** The state of each step, by id. */
  get states(): Record<string, StepState> {
    return Object.fromEntries(this.#steps);
  }

  /** Rewinds to a step: the step and all steps after it are open again. */
  rewindTo(stepId: string, values: Readonly<Record<string, string>>): void {
    this.#generation++;
    this.#known = { ...values };
    const from = this.lesson.steps.findIndex((step) => step.id === stepId);
    for (const step of this.lesson.steps.slice(from)) {
      this.#steps.set(step.id, untouched);
    }
  }

  /** @throws LabError `bad-message` */
  step(id: string): Step {
    const step = this.lesson.steps.find((candidate) => candidate.id === id);
    if (!step) throw new LabError('bad-message', `The lesson has no step ${id}.`);
    return step;
  }

  /** The step after this one, if it is not the last. */
  stepAfter(step: Step): Step | undefined {
    return this.lesson.steps[this.lesson.steps.indexOf(step) + 1];
  }

  hasPassed(step: Step): boolean {
    return this.#steps.get(step.id)?.state === 'passed';
  }

  /** Asks for the values and the first open step's check. All requests that come meanwhile cause one more round. */
  wantCheck(): void {
    this.#isCheckWanted = true;
    this.#checking ??= this.#runWantedChecks().finally(() => {
      this.#checking = undefined;
      this.#checkedAtMs = Date.now();
    });
  }

  /** Runs a step's checks on the hosts. A step that has passed stays passed: later steps may undo what its check saw. */
  check(step: Step): Promise<void> {
    return this.#askHosts([], step);
  }

  async #runWantedChecks(): Promise<void> {
    while (this.#isCheckWanted) {
      this.#isCheckWanted = false;
      const current = this.lesson.steps.find((step) => this.#steps.get(step.id)?.state === 'open');
      await this.#askHosts(this.lesson.values, current);
    }
  }

  /** Asks both hosts for values, and whether a step is done. */
  async #askHosts(values: readonly Value[], step: Step | undefined): Promise<void> {
    const generation = this.#generation;
    const answers = await this.#onHosts([...values, ...(step?.checks ?? [])]);
    if (generation !== this.#generation) return;
    this.#noteValues(values.map((value, index) => [value, answers[index]]));
    if (step) this.#noteChecks(step, answers.slice(values.length));
  }

  #noteValues(answers: readonly (readonly [value: Value, answer: Answer | undefined])[]): void {
    const values = { ...this.#known };
    for (const [{ name }, answer] of answers) {
      const text = answer?.stdout.trim() ?? '';
      // One word only: the value is typed into a root shell, and the guest that prints it is not trusted with more.
      if (answer?.ok && /^[\w.:/@%+-]{1,200}$/.test(text)) values[name] = text;
    }
    if (JSON.stringify(values) === JSON.stringify(this.#known)) return;
    this.#known = values;
    this.#events.onValues(values);
  }

  #noteChecks(step: Step, answers: readonly Answer[]): void {
    const failed = answers.find(({ ok }) => !ok);
    const passed = failed === undefined;
    const message = (failed ?? answers.at(-1))?.message ?? '';
    const before = this.#steps.get(step.id);
    if (before?.state === 'passed' && !passed) return;
    const state: StepState = { state: passed ? 'passed' : 'open', message, checkedAtMs: Date.now() };
    this.#steps.set(step.id, state);
    this.#events.onStep(step.id, state);
    if (passed && before?.state !== 'passed') {
      this.#events.onPassed(step);
      this.wantCheck();
    }
  }

  /** Runs scripts where each belongs, both hosts at the same time. @returns their answers, in their order */
  async #onHosts(scripts: readonly Block[]): Promise<Answer[]> {
    const answers = new Map<Block, Answer>();
    const onHost = async (host: HostName): Promise<void> => {
      const here = scripts.filter((script) => script.host === host);
      if (here.length === 0) return;
      try {
        const texts = here.map(({ text }) => text);
        const results = await this.#runOnHost(host, texts, checkTimeoutMs);
        for (const [index, script] of here.entries()) {
          const { exitCode, stdout } = results[index] ?? { exitCode: NaN, stdout: '' };
          const message = stdout.trim().split('\n').at(-1) ?? '';
          answers.set(script, { ok: exitCode === 0, message, stdout });
        }
      } catch (thrown) {
        const error = LabError.from(thrown, `A check on ${host} failed`);
        this.#events.onError(host, error);
        const { message } = error.toWire();
        for (const script of here) answers.set(script, { ok: false, message, stdout: '' });
      }
    };
    await Promise.all(hostNames.map(onHost));
    return scripts.flatMap((script) => answers.get(script) ?? []);
  }
}

const untouched: StepState = { state: 'open', message: '', checkedAtMs: null };
