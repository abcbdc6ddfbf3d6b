/**
 * `npm test`: every check of the project, and one sum at the end.
 *
 * What needs no pair runs beside set-up and the tests on pairs, which leave room for it. Lessons, one more than there are processors,
 * and browsers fill two processors by themselves, and the tests that look at times run alone.
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

/** What became of a suite. `failures` names each that failed, with the first line of why. */
const outcomeSchema = z.object({ passed: z.number(), failures: z.array(z.string()) });
type Outcome = z.infer<typeof outcomeSchema>;

/** The part of Vitest's JSON report that counts. */
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

/** @param ok whether Vitest itself ended well */
export function readVitestReport(json: string, ok: boolean): Outcome {
  const report = vitestReportSchema.parse(JSON.parse(json));
  const failures = report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = basename(name);
    // A file that cannot even be loaded has no tests in the report.
    if (status === 'failed' && assertionResults.length === 0) return [`${file}: ${firstLine(message)}`];
    return assertionResults
      .filter((test) => test.status === 'failed')
      .map((test) => `${file}, ${test.fullName}: ${firstLine(test.failureMessages?.[0])}`);
  });
  // Errors outside of any test, such as a rejected promise that nobody awaits, fail the run and no test.
  if (!ok && failures.length === 0) failures.push('an error outside of any test');
  return { passed: report.numPassedTests, failures };
}

/** Waits for all, also when one throws. @throws what the first of them has thrown that did */
async function together(running: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(running);
  await Promise.all(running);
}

/**
 * Runs everything; a failure does not keep the rest from running.
 * @returns how many failed
 * @throws LabError `cancelled`
 */
export async function runTests(config: Config, root: string, signal: AbortSignal): Promise<number> {
  // Short, because sessions put Unix sockets in it.
  const scratch = await mkdtemp(join(tmpdir(), 'lab-'));
  const environment = { LAB_CACHE_DIR: config.cacheDir, LAB_STATE_DIR: join(scratch, 'state') };
  let passed = 0;
  const failures: string[] = [];
  const summary: string[] = [];

  const stopIfCancelled = () => {
    if (signal.aborted) throw new LabError('cancelled', 'Tests: stopped.');
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
      // A process group of its own, so that Vitest's workers end with it: it leaves them behind when it is killed.
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
      return { passed: 0, failures: [`Vitest left no readable report: ${String(error)}`] };
    }
  };

  const lessons = async (): Promise<Outcome> => {
    const report = join(scratch, 'lessons.json');
    // A lesson waits now and then: two at a time left 7 percent of two processors idle under TCG, and took 6 percent longer than three.
    const jobs = String(availableParallelism() + 1);
    await tool('lessons', process.execPath, [
      join(root, 'dist', 'lessons.js'),
      ...['test', '--jobs', jobs, '--json', report],
    ]);
    try {
      return outcomeSchema.parse(JSON.parse(await readFile(report, 'utf8')));
    } catch (error) {
      return { passed: 0, failures: [`the lesson test left no readable report: ${String(error)}`] };
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
      const { failures: inTheWay } = await settingUp;
      if (inTheWay.length === 0) await suite('pair', () => vitest('pair', 'pair'));
    };
    const withoutPairs = async (): Promise<void> => {
      await suite('unit', () => vitest('unit', 'unit'));
      await check('format', 'prettier', ['--check', '.']);
      await check('lint', 'eslint', ['--max-warnings', '0', '.']);
      await check('boundaries', 'npm', ['run', '--silent', 'boundaries']);
      await check('knip', 'npm', ['run', '--silent', 'knip']);
      await check('links', 'npm', ['run', '--silent', 'links']);
      await check('course', process.execPath, [join(root, 'dist', 'lessons.js'), 'lint']);
      // Building the site makes some of the types.
      await settingUp;
      await check('types', 'npm', ['run', '--silent', 'types']);
    };
    await together([onPairs(), withoutPairs()]);
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
  // Once more at the end, where it is found: the report of each stands some thousand lines above.
  const failed = failures.map((failure) => `FAILED  ${failure}\n`).join('');
  console.log(`\n${summary.join('\n')}\n\n${failed}${passed} passed, ${failures.length} failed`);
  return failures.length;
}
