/** `npm test`: every check of the project one after the other, and one sum at the end. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import { formatDuration, prepareLab } from './stages';

const outcomeSchema = z.object({ passed: z.number(), failed: z.number() });
type Outcome = z.infer<typeof outcomeSchema>;

/** The part of Vitest's JSON report that counts. */
const vitestReportSchema = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  testResults: z.array(z.object({ status: z.string(), assertionResults: z.array(z.unknown()) })),
});

/** @param ok whether Vitest itself ended well */
export function readVitestReport(json: string, ok: boolean): Outcome {
  const report = vitestReportSchema.parse(JSON.parse(json));
  // A file that cannot even be loaded has no tests in the report.
  const brokenFiles = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  ).length;
  const failed = report.numFailedTests + brokenFiles;
  // Errors outside of any test, such as a rejected promise that nobody awaits, fail the run and no test.
  return { passed: report.numPassedTests, failed: ok || failed > 0 ? failed : 1 };
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
  const total: Outcome = { passed: 0, failed: 0 };
  const summary: string[] = [];

  const stopIfCancelled = () => {
    if (signal.aborted) throw new LabError('cancelled', 'Tests: stopped.');
  };
  const suite = async (name: string, run: () => Promise<Outcome>): Promise<Outcome> => {
    stopIfCancelled();
    console.log(`\n── ${name}`);
    const startedAt = Date.now();
    const outcome = await run();
    stopIfCancelled();
    total.passed += outcome.passed;
    total.failed += outcome.failed;
    summary.push(
      `${name.padEnd(8)} ${String(outcome.passed).padStart(4)} passed ${String(outcome.failed).padStart(4)} failed   ${formatDuration(Date.now() - startedAt)}`,
    );
    return outcome;
  };

  const tool = async (name: string, args: string[]): Promise<boolean> => {
    const running = execa(name, args, {
      cwd: root,
      preferLocal: true,
      env: environment,
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
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
  const check = async (name: string, args: string[]): Promise<Outcome> =>
    (await tool(name, args)) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  const vitest = async (project: string): Promise<Outcome> => {
    const report = join(scratch, `${project}.json`);
    const ok = await tool('vitest', [
      'run',
      ...['--project', project],
      ...['--reporter', 'default', '--reporter', 'json', `--outputFile.json=${report}`],
    ]);
    try {
      return readVitestReport(await readFile(report, 'utf8'), ok);
    } catch (error) {
      console.error(`Vitest left no readable report: ${String(error)}`);
      return { passed: 0, failed: 1 };
    }
  };

  const lessons = async (): Promise<Outcome> => {
    const report = join(scratch, 'lessons.json');
    await tool(process.execPath, [join(root, 'dist', 'lessons.js'), 'test', '--json', report]);
    try {
      return outcomeSchema.parse(JSON.parse(await readFile(report, 'utf8')));
    } catch (error) {
      console.error(`The lesson test left no readable report: ${String(error)}`);
      return { passed: 0, failed: 1 };
    }
  };

  try {
    await suite('format', () => check('prettier', ['--check', '.']));
    await suite('lint', () => check('eslint', ['--max-warnings', '0', '.']));
    await suite('course', () => check(process.execPath, [join(root, 'dist', 'lessons.js'), 'lint']));
    await suite('types', () => check('tsc', ['--noEmit']));
    await suite('unit', () => vitest('unit'));
    const setUp = await suite('set-up', async () => {
      try {
        await prepareLab(config, root, signal);
        return { passed: 1, failed: 0 };
      } catch (error) {
        const known = error instanceof LabError && error.code !== 'internal';
        console.error(known ? [error.message, error.hint].join('\n') : error);
        return { passed: 0, failed: 1 };
      }
    });
    const onPairs: [name: string, run: () => Promise<Outcome>][] = [
      ['pair', () => vitest('pair')],
      ['lessons', lessons],
      ['e2e', () => vitest('e2e')],
    ];
    for (const [name, run] of onPairs) {
      if (setUp.failed === 0) await suite(name, run);
      else summary.push(`${name.padEnd(8)} not run, because set-up failed`);
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  console.log(`\n${summary.join('\n')}\n\n${total.passed} passed, ${total.failed} failed`);
  return total.failed;
}
