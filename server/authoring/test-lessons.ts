/**
 * The lesson test: runs each lesson's blocks on its own pair, through the path of a learner's click. Several lessons run at
 * the same time.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Listr, PRESET_TIMESTAMP, type ListrTask } from 'listr2';
import { pino } from 'pino';
import { Rehearsal, StepFailure } from './rehearsal';
import type { Config } from '../config';
import { startGateway } from '../gateway/gateway';
import { Learner } from '../client/learner';
import type { Lesson, Step } from '../lessons/lesson';
import { LabError } from '../protocol/errors';
import { hostNames } from '../protocol/hosts';
import type { StepState } from '../protocol/session';
import { root } from '../root';
import { formatDuration, imageKey, prepareLab, type Lab } from '../setup/stages';
import { hostLogs, loginCommand } from './evidence';
import { isNoticed } from './mutation';
import { castSize, Recorder } from './record';

interface TestOptions {
  /** Folder of the lessons. */
  lessonsDir: string;
  /** How many lessons run at the same time; by default one for each processor. */
  jobs?: number;
  /** Keeps the pair of a failed lesson until Ctrl-C. */
  keep?: boolean;
  /** Writes recordings of lessons that pass. */
  record?: boolean;
  /** Leaves out each step in turn, and demands that a check notices. */
  mutate?: boolean;
  /** How long to wait for commands that still have effects after a step was left out, in milliseconds. */
  settleMs?: number;
  signal: AbortSignal;
}

/** Outcome of a lesson. */
export interface LessonResult {
  lesson: Lesson;
  ms: number;
  /** Steps that passed, in order; all of them unless there is a failure. */
  passed: { step: Step; ms: number }[];
  /** Full report of the failure: the command, the screens, the hosts' logs. */
  failure: string | undefined;
  /** Steps that can be left out unnoticed; undefined without `mutate`. */
  survivors: Step[] | undefined;
}

/** Enough for the states of all steps of the longest lesson. A state in which Java runs took 100 MB when measured. */
const savedStatesMiB = 16 * 1024;
/** A lesson asks for a pair again after this time, while other lessons have all pairs that the machine can hold. */
const askAgainMs = 3_000;
/**
 * How long the test waits, by default, before it believes a check after a step was left out: the previous step's commands may
 * still have effects. The slowest one seen, a Java that starts under TCG, took 20 s.
 */
const defaultSettleMs = 25_000;

interface TestSession {
  rehearsal: Rehearsal;
  learner: Learner;
  sandboxId: string;
}

/**
 * Tests lessons and shows the progress on stdout.
 * @throws LabError when the lab cannot be prepared; `cancelled` when the signal stops it
 */
export async function testLessons(
  config: Config,
  lessons: readonly Lesson[],
  options: TestOptions,
): Promise<LessonResult[]> {
  const { signal } = options;
  const lab = await prepareLab(config, root, signal, {
    lessonIds: lessons.map(({ id }) => id),
    withoutSite: true,
  });
  // Short, because Unix socket paths have a maximum length.
  const stateDir = await mkdtemp(join(tmpdir(), 'lab-'));
  const gateway = await startGateway({
    config: {
      ...config,
      port: 0,
      metricsPort: 0,
      // A pool of idle pairs would only slow down the tests.
      poolSize: 0,
      // Saving costs a second for each step. Only mutations rewind.
      savedStatesMiB: options.mutate ? savedStatesMiB : 0,
      stateDir,
    },
    lab,
    lessonsDir: options.lessonsDir,
    siteDir: undefined,
    runnerProgram: join(root, 'dist', 'runner.js'),
    log: pino({ level: 'silent' }),
  });
  const results: LessonResult[] = [];
  try {
    const tasks = lessons.map((lesson): ListrTask => ({
      title: lesson.id,
      task: async (_context, task) => {
        const result = await testLesson(lesson, {
          ...options,
          url: gateway.url,
          stateDir,
          lab,
          onProgress: (text) => {
            const line = `${lesson.id}: ${text}`;
            if (process.stdout.isTTY) task.title = line;
            else task.output = line;
          },
        });
        results.push(result);
        const duration = formatDuration(result.ms);
        const count = `${result.passed.length} of ${lesson.steps.length} steps`;
        task.title = `${lesson.id}: ${count}, ${duration}`;
        // The report has the full failure.
        if (result.failure !== undefined) throw new Error(task.title);
      },
      rendererOptions: { outputBar: process.stdout.isTTY ? 0 : Infinity },
    }));
    await new Listr(tasks, {
      concurrent: options.jobs ?? availableParallelism(),
      exitOnError: false,
      renderer: process.stdout.isTTY ? 'default' : 'simple',
      rendererOptions: { timestamp: PRESET_TIMESTAMP },
      registerSignalListeners: false,
    }).run();
    if (signal.aborted) throw new LabError('cancelled', 'The lesson test was stopped.');
    if (options.keep && results.some(({ failure }) => failure !== undefined)) await keepUntil(signal);
  } finally {
    await gateway.stop('server-stopped');
    await rm(stateDir, { recursive: true, force: true });
  }
  return lessons.flatMap((lesson) => results.find((result) => result.lesson === lesson) ?? []);
}

async function keepUntil(signal: AbortSignal): Promise<void> {
  console.log('\nThe hosts of failed lessons are still running. Press Ctrl-C to end them.');
  if (signal.aborted) return;
  await new Promise<void>((done) => {
    signal.addEventListener('abort', () => {
      done();
    });
  });
}

interface LessonTest extends TestOptions {
  url: string;
  stateDir: string;
  lab: Lab;
  onProgress: (text: string) => void;
}

async function testLesson(lesson: Lesson, test: LessonTest): Promise<LessonResult> {
  const sinceMs = Date.now();
  const result: LessonResult = { lesson, ms: 0, passed: [], failure: undefined, survivors: undefined };
  const learner = new Learner(test.url);
  const session: TestSession = { learner, rehearsal: new Rehearsal(learner, lesson), sandboxId: '' };
  const onAbort = () => {
    learner.cut();
  };
  test.signal.addEventListener('abort', onAbort);
  try {
    await doLesson(lesson, session, test, result);
    if (test.mutate) result.survivors = await mutate(lesson, session, test);
  } catch (error) {
    result.failure = await tellFailure(error, session, test);
  } finally {
    test.signal.removeEventListener('abort', onAbort);
    result.ms = Date.now() - sinceMs;
    const isKept = test.keep && result.failure !== undefined && !test.signal.aborted;
    if (!isKept && session.sandboxId !== '') await session.rehearsal.end().catch(() => undefined);
  }
  return result;
}

/** Does the whole lesson. */
async function doLesson(
  lesson: Lesson,
  session: TestSession,
  test: LessonTest,
  result: LessonResult,
): Promise<void> {
  const { learner, rehearsal } = session;
  const recorder = test.record ? new Recorder(lesson) : undefined;
  if (recorder) learner.onOutput = recorder.output;
  test.onProgress('starting its hosts');
  session.sandboxId = await startWhenThereIsRoom(rehearsal, test.signal);
  for (const [index, step] of lesson.steps.entries()) {
    test.onProgress(`${index + 1}/${lesson.steps.length} ${step.title}`);
    if (test.mutate && index > 0) await rehearsal.untilKept(step);
    recorder?.beginStep();
    const done = await rehearsal.doStep(step);
    recorder?.endStep(step, done);
    result.passed.push({ step, ms: done.ms });
  }
  if (recorder) {
    await recorder.write(join(test.lessonsDir, lesson.id), await imageKey(root), test.lab.accelerator);
  }
}

/** Waits, while the machine can hold no more pairs, until another lesson has ended. */
async function startWhenThereIsRoom(rehearsal: Rehearsal, signal: AbortSignal): Promise<string> {
  for (;;) {
    try {
      return await rehearsal.start(castSize.columns, castSize.rows);
    } catch (error) {
      if (!(error instanceof LabError && error.code === 'no-session') || signal.aborted) throw error;
      await sleep(askAgainMs);
    }
  }
}

/**
 * Leaves out each step and does the next one, from the last step to the first, because a rewind discards later states.
 * The lesson notices when the check of the step or of the next step fails, or when a command of the next step does not end as
 * the lesson says. The test has already demanded that each check fails right before its step. This adds that a check does not
 * pass by itself or because of the next step.
 * @returns the steps that no check noticed
 * @throws LabError `lost` when the pair is lost
 */
async function mutate(lesson: Lesson, session: TestSession, test: LessonTest): Promise<Step[]> {
  const { rehearsal } = session;
  const survivors: Step[] = [];
  for (const [index, step] of [...lesson.steps.entries()].reverse()) {
    test.onProgress(`without ${index + 1}/${lesson.steps.length} ${step.title}`);
    await rehearsal.rewind(step);
    if (!(await isMissed(lesson, index, rehearsal, test.settleMs))) survivors.push(step);
  }
  return survivors.reverse();
}

/** @throws LabError `lost` when the pair is lost meanwhile */
async function isMissed(
  lesson: Lesson,
  index: number,
  rehearsal: Rehearsal,
  settleMs = defaultSettleMs,
): Promise<boolean> {
  const [step, next] = lesson.steps.slice(index);
  if (!step) return false;
  const stepId = step.id;
  if (next) {
    try {
      await rehearsal.perform(next, { line: next.line });
    } catch {
      return isNoticed({ stepId, loss: rehearsal.loss(), nextFailed: true, checks: [] });
    }
  }
  await sleep(settleMs);
  const checks: StepState['state'][] = [];
  for (const one of next ? [step, next] : [step]) checks.push((await rehearsal.check(one)).state);
  return isNoticed({ stepId, loss: rehearsal.loss(), nextFailed: false, checks });
}

async function tellFailure(error: unknown, session: TestSession, test: LessonTest): Promise<string> {
  if (test.signal.aborted) return 'The test was stopped.';
  const { sandboxId, rehearsal } = session;
  const what =
    error instanceof StepFailure
      ? error.message
      : `${LabError.from(error, 'The lesson could not be done').describe()}\n${rehearsal.screens()}`;
  if (sandboxId === '') return what;
  const logs = await hostLogs(test.stateDir, sandboxId);
  const kept = test.keep
    ? hostNames.map((host) => `\n   ${loginCommand(test.stateDir, sandboxId, host)}`).join('')
    : '';
  return `${what}\n${logs}${kept === '' ? '' : `\n── log in to the hosts:${kept}`}`;
}

/** Report on all lessons, with the failures at the end. */
export function formatResults(results: readonly LessonResult[]): string {
  const lines = results.map(({ lesson, ms, passed, failure, survivors }) => {
    const slowest = passed.toSorted((one, other) => other.ms - one.ms)[0];
    const verdict = failure === undefined ? 'passed' : 'FAILED';
    const slow = slowest ? `, slowest “${slowest.step.title}” ${formatDuration(slowest.ms)}` : '';
    const missed =
      survivors === undefined
        ? ''
        : survivors.length === 0
          ? ', a check notices each step that is left out'
          : `, NOT NOTICED: ${survivors.map(({ id }) => id).join(', ')}`;
    return `${verdict} ${lesson.id}: ${passed.length} of ${lesson.steps.length} steps in ${formatDuration(ms)}${slow}${missed}`;
  });
  const failures = results.flatMap(({ lesson, failure }) =>
    failure === undefined ? [] : [`\n${'═'.repeat(80)}\n${lesson.id}: ${failure}`],
  );
  return [...lines, ...failures].join('\n');
}

/** Number of steps that passed, and a line for each failure: a lesson's first failure, or a step that no check notices. */
export const summarize = (results: readonly LessonResult[]): { passed: number; failures: string[] } => ({
  passed: results.reduce((sum, { passed }) => sum + passed.length, 0),
  failures: results.flatMap(({ lesson, failure, survivors = [] }) => [
    ...(failure === undefined ? [] : [`${lesson.id}: ${failure.split('\n', 1)[0] ?? ''}`]),
    ...survivors.map((step) => `${lesson.id}: no check notices that ${step.id} is left out`),
  ]),
});
