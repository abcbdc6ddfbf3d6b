/** Where a learner is in a lesson: which steps are done, the values read from the hosts, the commands that were typed. */
import { LabError } from '../protocol/errors';
import type { HostName } from '../protocol/hosts';
import type { StepState } from '../protocol/messages';
import type { CommandResult } from '../host/control-channel';
import type { Lesson, Step } from '../lessons/lesson';

/** A check takes 0.2 to 3 s under TCG; one that hangs must not hold up the others for long. */
const checkTimeoutMs = 60_000;

export interface ProgressEvents {
  onStep(stepId: string, state: StepState): void;
  /** A step's check has passed that had not before. */
  onPassed(step: Step): void;
  onValues(values: Readonly<Record<string, string>>): void;
}

/** Runs a script on a host as root, out of sight. Rejects while there is no pair that could. */
export type RunOnHost = (host: HostName, script: string, timeoutMs: number) => Promise<CommandResult>;

/** What can be kept of a learner's place, and gone back to. */
export interface Place {
  steps: Readonly<Record<string, StepState>>;
  values: Readonly<Record<string, string>>;
  /** Keys `stepId/block` of the run blocks that were typed at least once. */
  ran: readonly string[];
}

export class Progress {
  private readonly steps: Map<string, StepState>;
  private readonly ran = new Set<string>();
  private known: Record<string, string> = {};
  private checking: Promise<void> | undefined;
  private checkWanted = false;
  /** Counts the times that the learner went back: what a check saw before is no longer so. */
  private era = 0;

  constructor(
    readonly lesson: Lesson,
    private readonly runOnHost: RunOnHost,
    private readonly events: ProgressEvents,
  ) {
    this.steps = new Map(lesson.steps.map((step) => [step.id, untouched]));
  }

  get values(): Readonly<Record<string, string>> {
    return this.known;
  }

  place(): Place {
    return { steps: Object.fromEntries(this.steps), values: this.known, ran: [...this.ran] };
  }

  /** Goes back to a step: it and all after it are open again, and nothing of them was typed. */
  goBackTo(stepId: string, values: Readonly<Record<string, string>>): void {
    this.era++;
    this.known = { ...values };
    const from = this.lesson.steps.findIndex((step) => step.id === stepId);
    for (const step of this.lesson.steps.slice(from)) {
      this.steps.set(step.id, untouched);
      for (const key of this.ran) if (key.startsWith(`${step.id}/`)) this.ran.delete(key);
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

  noteRun(stepId: string, block: number): void {
    this.ran.add(`${stepId}/${block}`);
  }

  /** Whether one of the step's commands was typed, or its check has passed. */
  hasBegun(step: Step): boolean {
    if (this.steps.get(step.id)?.state === 'passed') return true;
    return [...this.ran].some((key) => key.startsWith(`${step.id}/`));
  }

  /** Asks for the values and the first open step's check; requests that come while these run are one more round. */
  wantCheck(): void {
    this.checkWanted = true;
    this.checking ??= this.runWantedChecks().finally(() => {
      this.checking = undefined;
    });
  }

  /** Runs a step's checks on the hosts. A step that has passed stays passed: later steps may undo what it looked at. */
  async check(step: Step): Promise<void> {
    const { era } = this;
    let passed = true;
    let message = '';
    for (const check of step.checks) {
      const result = await this.onHost(check.host, check.text);
      message = result.message;
      if (!result.ok) {
        passed = false;
        break;
      }
    }
    if (era !== this.era) return;
    const before = this.steps.get(step.id);
    if (before?.state === 'passed' && !passed) return;
    const state: StepState = { state: passed ? 'passed' : 'open', message, checkedAtMs: Date.now() };
    this.steps.set(step.id, state);
    this.events.onStep(step.id, state);
    if (passed && before?.state !== 'passed') {
      this.events.onPassed(step);
      this.wantCheck();
    }
  }

  private async runWantedChecks(): Promise<void> {
    while (this.checkWanted) {
      this.checkWanted = false;
      await this.readValues();
      const current = this.lesson.steps.find((step) => this.steps.get(step.id)?.state === 'open');
      if (current) await this.check(current);
    }
  }

  private async readValues(): Promise<void> {
    const { era } = this;
    const values = { ...this.known };
    for (const value of this.lesson.values) {
      const result = await this.onHost(value.host, value.text);
      const text = result.stdout.trim();
      // One word: it is typed into a root shell, and the guest that prints it is not to be trusted with more.
      if (result.ok && /^[\w.:/@%+-]{1,200}$/.test(text)) values[value.name] = text;
    }
    if (era !== this.era || JSON.stringify(values) === JSON.stringify(this.known)) return;
    this.known = values;
    this.events.onValues(values);
  }

  private async onHost(
    host: HostName,
    script: string,
  ): Promise<{ ok: boolean; message: string; stdout: string }> {
    try {
      const result = await this.runOnHost(host, script, checkTimeoutMs);
      const message = result.stdout.trim().split('\n').at(-1) ?? '';
      return { ok: result.exitCode === 0, message, stdout: result.stdout };
    } catch (error) {
      return { ok: false, message: LabError.from(error, `A check on ${host} failed`).message, stdout: '' };
    }
  }
}

const untouched: StepState = { state: 'open', message: '', checkedAtMs: null };
