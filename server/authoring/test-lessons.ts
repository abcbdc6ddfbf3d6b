/**
 * The lesson test: each lesson's own blocks on a pair of its own, through the path that a learner's click takes. Several
 * lessons are done at the same time.
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
import { root } from '../root';
import { formatDuration, imageKey, prepareLab, type Lab } from '../setup/stages';
import { hostLogs, loginCommand } from './evidence';
import { castSize, Recorder } from './record';

export interface TestOptions {
  /** Where the lessons are. */
  lessonsDir: string;
  /** Lessons at the same time; as many as processors when absent. */
  jobs?: number;
  /** Keeps the pair of a lesson that failed until Ctrl-C. */
  keep?: boolean;
  /** Writes recordings of lessons that passed. */
  record?: boolean;
  /** Leaves out each step, one after the other, and demands that the checks notice. */
  mutate?: boolean;
  /** How long what was begun may still be under way when a step was left out, in milliseconds. */
  settleMs?: number;
  signal: AbortSignal;
}

/** What became of a lesson. */
export interface LessonResult {
  lesson: Lesson;
  ms: number;
  /** Steps that passed, in order; all of them unless there is a failure. */
  passed: { step: Step; ms: number }[];
  /** What failed, whole: the command, the screens, the hosts' logs. */
  failure: string | undefined;
  /** Steps that can be left out without any check noticing; undefined when this was not asked. */
  survivors: Step[] | undefined;
}

/** For the states of all steps of the longest lesson: 100 MB each was measured for one in which Java runs. */
const savedStatesMiB = 16 * 1024;
/** A lesson that waits for a pair, because others have all that the machine holds, asks again after this. */
const askAgainMs = 3_000;
/**
 * A step that is left out is given this long before its check is believed, unless told: what the step before has begun may still
 * be under way. The slowest that was seen, a Java that starts under TCG, is 20 s.
 */
const defaultSettleMs = 25_000;

interface TestSession {
  rehearsal: Rehearsal;
  learner: Learner;
  sandboxId: string;
}

/**
 * Tests lessons, showing the progress on stdout.
 * @throws LabError when the lab itself cannot be made, `cancelled`
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
  // Short, because of the length of Unix sockets' paths.
  const stateDir = await mkdtemp(join(tmpdir(), 'lab-'));
  const gateway = await startGateway({
    config: {
      ...config,
      port: 0,
      metricsPort: 0,
      // A pair that waits for nobody would only slow down those that work.
      poolSize: 0,
      // Saving costs each step a second; only mutations go back.
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
        // The report tells it whole.
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
    if (signal.aborted) throw new LabError('cancelled', 'The test of the lessons was stopped.');
    if (options.keep && results.some(({ failure }) => failure !== undefined)) await keepUntil(signal);
  } finally {
    await gateway.stop('server-stopped');
    await rm(stateDir, { recursive: true, force: true });
  }
  return lessons.flatMap((lesson) => results.find((result) => result.lesson === lesson) ?? []);
}

async function keepUntil(signal: AbortSignal): Promise<void> {
  console.log('\nThe pairs of lessons that failed are kept. Ctrl-C ends them.');
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

/** Does the lesson from beginning to end. */
async function doLesson(
  lesson: Lesson,
  session: TestSession,
  test: LessonTest,
  result: LessonResult,
): Promise<void> {
  const { learner, rehearsal } = session;
  const recorder = test.record ? new Recorder(lesson) : undefined;
  if (recorder) learner.onOutput = recorder.output;
  test.onProgress('starts its hosts');
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

/** When the machine holds no more pairs, waits until a lesson that runs has ended. */
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
 * Leaves out each step and goes on with the next, from the last step to the first, because going back forgets what came after.
 * A mutation is noticed when the check of the step that was left out fails, or that of the one after it, or when a command of
 * that one does not end as it should. That each check fails right before its step was demanded already; this adds that it
 * does not come true by itself, nor by what comes next.
 * @returns the steps that nobody missed
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

async function isMissed(
  lesson: Lesson,
  index: number,
  rehearsal: Rehearsal,
  settleMs = defaultSettleMs,
): Promise<boolean> {
  const [step, next] = lesson.steps.slice(index);
  if (!step) return false;
  if (next) {
    try {
      await rehearsal.perform(next, { line: next.line });
    } catch {
      return true;
    }
  }
  await sleep(settleMs);
  for (const one of next ? [step, next] : [step]) {
    if ((await rehearsal.check(one)).state === 'open') return true;
  }
  return false;
}

async function tellFailure(error: unknown, session: TestSession, test: LessonTest): Promise<string> {
  if (test.signal.aborted) return 'It was stopped.';
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

/** The report on all lessons, failures at the end. */
export function formatResults(results: readonly LessonResult[]): string {
  const lines = results.map(({ lesson, ms, passed, failure, survivors }) => {
    const slowest = passed.toSorted((one, other) => other.ms - one.ms)[0];
    const verdict = failure === undefined ? 'passed' : 'FAILED';
    const slow = slowest ? `, slowest “${slowest.step.title}” ${formatDuration(slowest.ms)}` : '';
    const missed =
      survivors === undefined
        ? ''
        : survivors.length === 0
          ? ', every step is missed when it is left out'
          : `, NOT MISSED: ${survivors.map(({ id }) => id).join(', ')}`;
    return `${verdict} ${lesson.id}: ${passed.length} of ${lesson.steps.length} steps in ${formatDuration(ms)}${slow}${missed}`;
  });
  const failures = results.flatMap(({ lesson, failure }) =>
    failure === undefined ? [] : [`\n${'═'.repeat(80)}\n${lesson.id}: ${failure}`],
  );
  return [...lines, ...failures].join('\n');
}

/** Steps that passed, and what did not, a line each: a lesson stops at its first failure. A step that nobody misses is a failure. */
export const summarize = (results: readonly LessonResult[]): { passed: number; failures: string[] } => ({
  passed: results.reduce((sum, { passed }) => sum + passed.length, 0),
  failures: results.flatMap(({ lesson, failure, survivors = [] }) => [
    ...(failure === undefined ? [] : [`${lesson.id}: ${failure.split('\n', 1)[0] ?? ''}`]),
    ...survivors.map((step) => `${lesson.id}: nothing misses ${step.id}`),
  ]),
});
