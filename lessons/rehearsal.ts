/** Does a lesson as a learner would: through the gateway, with the same requests and into the same terminals as the page. */
import { randomUUID } from 'node:crypto';
import { stripVTControlCharacters } from 'node:util';
import type { Learner } from '../server/gateway/learner';
import { splitAtValues } from '../server/lessons/fill';
import type { Block, Lesson, Step } from '../server/lessons/lesson';
import { hostNames } from '../server/protocol/hosts';
import type { ShellMark, StepState } from '../server/protocol/messages';

/** Two hosts cloned and logged in to: 4 s on an idle machine with 2 cores under TCG, a minute on a busy one. */
const readyTimeoutMs = 180_000;
/** The slowest command of a lesson, a JVM's checkpoint or restore under TCG, takes about 20 s alone. */
const commandTimeoutMs = 240_000;
/** A check runs for some seconds under TCG, and the one before it may have to end first. */
const checkTimeoutMs = 120_000;
/** What a command leaves behind it (a web application that starts) may need this long until the check sees it. */
const passTimeoutMs = 240_000;
/** Lines of each terminal that a failure shows. */
const shownLines = 25;

export class Rehearsal {
  constructor(
    private readonly learner: Learner,
    private readonly lesson: Lesson,
  ) {}

  /** Starts a session and waits for a prompt on both hosts. */
  async start(): Promise<void> {
    await this.learner.startSession(this.lesson.id);
    const hello = await this.learner.connect();
    for (const { id } of hello.terminals) this.learner.attach(id);
    await this.learner.until(
      () =>
        this.learner.latest('pair')?.pair.phase === 'failed' ||
        hostNames.every((host) => this.isAtPrompt(host)),
      readyTimeoutMs,
      'prompt on both hosts',
    );
    const error = this.learner.latest('pair')?.pair.error;
    if (error) throw new Error(`The pair is not there: ${error.message}`);
  }

  /**
   * Does one step: its check must fail, then each run block must exit with 0, then its check must pass.
   * @throws Error that names the line in the lesson and shows the end of both terminals
   */
  async doStep(step: Step): Promise<void> {
    let line = step.line;
    try {
      const before = await this.check(step);
      if (before.state === 'passed') throw new Error(`The check passes before the step: ${before.message}`);
      if (before.message === '') throw new Error('The check fails without a word of what is missing.');
      for (const [index, block] of step.runs.entries()) {
        line = block.line;
        await this.run(step, index, block);
      }
      for (const block of step.solves) {
        line = block.line;
        this.learner.type(block.host, `${block.text.replaceAll('\n', '\r')}\r`);
      }
      line = step.checks[0]?.line ?? step.line;
      await this.pass(step);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`lessons/${this.lesson.id}/lesson.mdx:${line}: ${reason}\n${this.screens()}`, {
        cause,
      });
    }
  }

  /** Gives the pair back. */
  async end(): Promise<void> {
    await this.learner.request('DELETE', '/session');
    this.learner.cut();
  }

  private async check(step: Step): Promise<StepState> {
    const after = this.learner.messages.length;
    this.learner.send({ type: 'check', stepId: step.id });
    const message = await this.learner.waitFor(
      'step',
      ({ stepId }) => stepId === step.id,
      checkTimeoutMs,
      after,
    );
    return message.step;
  }

  private async run(step: Step, index: number, block: Block): Promise<void> {
    const names = this.lesson.values.map((value) => value.name);
    const needed = splitAtValues(block.text, names).flatMap((part) =>
      'valueName' in part ? [part.valueName] : [],
    );
    await this.learner.until(
      () => needed.every((name) => this.learner.latest('values')?.values[name] !== undefined),
      checkTimeoutMs,
      `value for ${needed.join(', ')}`,
    );
    const terminal = block.host;
    const after = this.learner.messages.length;
    const runId = randomUUID();
    this.learner.send({ type: 'run', runId, stepId: step.id, block: index, terminal, whenBusy: 'cut-line' });
    const { result, error } = await this.learner.waitFor('run', (run) => run.runId === runId, 30_000);
    if (result === 'refused') throw new Error(`The command was not typed: ${error?.message ?? ''}`);

    const mark = (kind: ShellMark['kind'], timeoutMs: number) =>
      this.learner.waitFor(
        'mark',
        (message) => message.terminal === terminal && message.mark.kind === kind,
        timeoutMs,
        after,
      );
    await mark('start', commandTimeoutMs);
    const end = await mark('end', commandTimeoutMs);
    await this.learner.untilPrompt(terminal, true, commandTimeoutMs);
    if (end.mark.kind === 'end' && end.mark.exitCode !== 0) {
      throw new Error(`\`${block.text}\` ended with exit code ${end.mark.exitCode ?? 'none'}.`);
    }
  }

  /** Waits for the runner's own checks: a learner does not ask for them either. */
  private async pass(step: Step): Promise<void> {
    const latest = (): StepState | undefined =>
      this.learner.latest('step', ({ stepId }) => stepId === step.id)?.step;
    try {
      await this.learner.until(() => latest()?.state === 'passed', passTimeoutMs, 'passed check');
      await this.learner.until(
        () => hostNames.every((host) => this.isAtPrompt(host)),
        commandTimeoutMs,
        'prompt on both hosts',
      );
    } catch (cause) {
      throw new Error(`The check does not pass: ${latest()?.message ?? 'it never ran'}`, { cause });
    }
  }

  private isAtPrompt(host: string): boolean {
    return this.learner.latest('prompt', ({ terminal }) => terminal === host)?.idle === true;
  }

  private screens(): string {
    return hostNames
      .map((host) => {
        const lines = stripVTControlCharacters(this.learner.screen(host)).split(/\r?\n/);
        return [`── ${host}`, ...lines.slice(-shownLines)].join('\n');
      })
      .join('\n');
  }
}
