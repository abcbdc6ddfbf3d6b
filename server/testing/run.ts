/**
 * `npm test`: runs every check of the project and prints one summary at the end.
 *
 * Checks without pairs run beside set-up and the pair tests, which leave processor time for them. Lessons (one more at a time than
 * there are processors) and browser tests each fill two processors, so they run by themselves. Tests that measure time run alone.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { execa } from 'execa';
import { z } from 'zod';
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import { formatDuration, prepareLab } from '../setup/stages';

/** The result of a suite. `failures` names each failed test, with the first line of its error. */
const outcomeSchema = z.object({ passed: z.number(), failures: z.array(z.string()) });
type Outcome = z.infer<typeof outcomeSchema>;

/** The part of Vitest's JSON report that is used. */
const vitestReportSchema = z.object({
  numPassedTests: z.number(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string(),
      assertionResults: z.array(
        z.object({
          status: z.string(),
          fullName: z.string(),
          failureMessages: z.array(z.string()).nullable(),
        }),
      ),
    }),
  ),
});

/** Columns of a suite's name: the longest is "boundaries". */
const nameWidth = 10;

const firstLine = (text = ''): string => stripVTControlCharacters(text).split('\n', 1)[0] ?? '';

/** @param ok whether Vitest exited with code 0 */
export function readVitestReport(json: string, ok: boolean): Outcome {
  const report = vitestReportSchema.parse(JSON.parse(json));
  const failures = report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = basename(name);
    // A file that fails to load has no tests in the report.
    if (status === 'failed' && assertionResults.length === 0) return [`${file}: ${firstLine(message)}`];
    return assertionResults
      .filter((test) => test.status === 'failed')
      .map((test) => `${file}, ${test.fullName}: ${firstLine(test.failureMessages?.[0])}`);
  });
  // An error outside any test, such as an unhandled rejection, fails the run but no test.
  if (!ok && failures.length === 0) failures.push('an error outside any test');
  return { passed: report.numPassedTests, failures };
}

/** Waits for all promises, even if one rejects. @throws the reason of the first rejected one in the list */
async function settleAll(running: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(running);
  await Promise.all(running);
}

/**
 * Runs everything; a failure does not stop the rest.
 * @returns the number of failures
 * @throws LabError `cancelled`
 */
export async function runTests(config: Config, root: string, signal: AbortSignal): Promise<number> {
  // Short, because sandboxes put Unix sockets in it.
  const scratch = await mkdtemp(join(tmpdir(), 'lab-'));
  const environment = { LAB_CACHE_DIR: config.cacheDir, LAB_STATE_DIR: join(scratch, 'state') };
  let passed = 0;
  const failures: string[] = [];
  const summary: string[] = [];

  const stopIfCancelled = () => {
    if (signal.aborted) throw new LabError('cancelled', 'The tests were stopped.');
  };
  const suite = async (name: string, run: () => Promise<Outcome>): Promise<Outcome> => {
    stopIfCancelled();
    console.log(`── ${name} begins`);
    const startedAt = Date.now();
    const outcome = await run();
    stopIfCancelled();
    passed += outcome.passed;
    failures.push(...outcome.failures.map((failure) => `${name}: ${failure}`));
    summary.push(
      `${name.padEnd(nameWidth)} ${String(outcome.passed).padStart(4)} passed ${String(outcome.failures.length).padStart(4)} failed   ${formatDuration(Date.now() - startedAt)}`,
    );
    console.log(`── ${summary.at(-1) ?? ''}`);
    return outcome;
  };

  const tool = async (suiteName: string, name: string, args: string[]): Promise<boolean> => {
    const toConsole = [
      function* (line: unknown) {
        yield `${suiteName.padEnd(nameWidth)}│ ${String(line)}`;
      },
      'inherit',
    ] as const;
    const running = execa(name, args, {
      cwd: root,
      preferLocal: true,
      env: environment,
      stdin: 'ignore',
      stdout: toConsole,
      stderr: toConsole,
      reject: false,
      // A separate process group, so Vitest's workers end with it: a killed Vitest leaves them behind.
      detached: true,
    });
    const end = () => {
      if (running.pid !== undefined && running.exitCode === null) process.kill(-running.pid, 'SIGTERM');
    };
    signal.addEventListener('abort', end);
    const { failed } = await running;
    signal.removeEventListener('abort', end);
    return !failed;
  };
  const check = (suiteName: string, name: string, args: string[]): Promise<Outcome> =>
    suite(suiteName, async () =>
      (await tool(suiteName, name, args))
        ? { passed: 1, failures: [] }
        : { passed: 0, failures: [[name, ...args].join(' ')] },
    );
  const vitest = async (suiteName: string, project: string, ...more: string[]): Promise<Outcome> => {
    const report = join(scratch, `${suiteName}.json`);
    const ok = await tool(suiteName, 'vitest', [
      'run',
      ...['--project', project, ...more],
      ...['--reporter', 'default', '--reporter', 'json', `--outputFile.json=${report}`],
    ]);
    try {
      return readVitestReport(await readFile(report, 'utf8'), ok);
    } catch (error) {
      return { passed: 0, failures: [`Cannot read Vitest’s report: ${String(error)}`] };
    }
  };

  const lessons = async (): Promise<Outcome> => {
    const report = join(scratch, 'lessons.json');
    // Lessons wait now and then. Under TCG, two at a time left 7 % of two processors idle and took 6 % longer than three.
    const jobs = String(availableParallelism() + 1);
    await tool('lessons', process.execPath, [
      join(root, 'dist', 'lessons.js'),
      ...['test', '--jobs', jobs, '--json', report],
    ]);
    try {
      return outcomeSchema.parse(JSON.parse(await readFile(report, 'utf8')));
    } catch (error) {
      return { passed: 0, failures: [`Cannot read the report of the lesson test: ${String(error)}`] };
    }
  };

  const makeLab = async (): Promise<Outcome> => {
    try {
      await prepareLab(config, root, signal);
      return { passed: 1, failures: [] };
    } catch (error) {
      const known = error instanceof LabError && error.code !== 'internal';
      console.error(known ? [error.message, error.hint].join('\n') : error);
      return { passed: 0, failures: [firstLine(String(error))] };
    }
  };

  try {
    const settingUp = suite('set-up', makeLab);
    const onPairs = async (): Promise<void> => {
      const { failures: setUpFailures } = await settingUp;
      if (setUpFailures.length === 0) await suite('pair', () => vitest('pair', 'pair'));
    };
    const withoutPairs = async (): Promise<void> => {
      await suite('unit', () => vitest('unit', 'unit'));
      await check('format', 'prettier', ['--check', '.']);
      await check('lint', 'eslint', ['--max-warnings', '0', '.']);
      await check('boundaries', 'npm', ['run', '--silent', 'boundaries']);
      await check('knip', 'npm', ['run', '--silent', 'knip']);
      await check('links', 'npm', ['run', '--silent', 'links']);
      await check('course', process.execPath, [join(root, 'dist', 'lessons.js'), 'lint']);
      // Building the site generates some of the types.
      await settingUp;
      await check('types', 'npm', ['run', '--silent', 'types']);
    };
    await settleAll([onPairs(), withoutPairs()]);
    if ((await settingUp).failures.length === 0) {
      await suite('lessons', lessons);
      await suite('e2e', () => vitest('e2e', 'e2e', '--tags-filter', '!alone'));
      await suite('alone', () => vitest('alone', 'e2e', '--tags-filter', 'alone'));
    } else {
      summary.push('pair, lessons and e2e did not run, because set-up failed');
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  // Repeats the failures at the end: their reports are thousands of lines above.
  const failed = failures.map((failure) => `FAILED  ${failure}\n`).join('');
  console.log(`\n${summary.join('\n')}\n\n${failed}${passed} passed, ${failures.length} failed`);
  return failures.length;
}
