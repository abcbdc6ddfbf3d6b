/** A whole lab for tests and benchmarks that need a real pair: the machine's artifact cache, a state directory of its own, a free port. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { Accelerator } from '../protocol/session';
import { readConfig, type Config } from '../config';
import { root } from '../root';
import { prepareLab } from '../setup/stages';
import { startGateway, type Gateway } from '../gateway/gateway';

/** For a test's set-up hook: with a cold cache the host image and the template are made in it. */
export const labSetUpTimeoutMs = 3_600_000;

/**
 * What takes a fraction of a second, such as handing over a pair or saying the time, takes less than this while other pairs and
 * tests have the processors too. How fast it is by itself is what benchmarks measure.
 */
export const busyMs = 10_000;

export interface TestLab {
  readonly url: string;
  /** Metrics and readiness. */
  operationsUrl(): string;
  readonly stateDir: string;
  readonly accelerator: Accelerator;
  /** Closes the gateway and opens another on the same port; the runners are left alone. */
  restartGateway(): Promise<void>;
  /** Ends all sessions and removes the state directory. */
  stop(): Promise<void>;
}

export interface TestLabParts {
  /** Directory of the site; undefined for a lab without pages. */
  siteDir?: string;
  /** What runs in the runner's place. */
  runnerProgram?: string;
}

/** @param overrides configuration that the test is about */
export async function startTestLab(
  overrides: Partial<Config> = {},
  parts: TestLabParts = {},
): Promise<TestLab> {
  // Short, because of the length of Unix sockets' paths.
  const stateDir = overrides.stateDir ?? (await mkdtemp(join(tmpdir(), 'lab-')));
  // Without a pool, a test knows what runs: the pairs that it asked for.
  const config = { ...readConfig(), port: 0, metricsPort: 0, poolSize: 0, stateDir, ...overrides };
  const lab = await prepareLab(config, root, new AbortController().signal);
  const open = (port: number): Promise<Gateway> =>
    startGateway({
      config: { ...config, port },
      lab,
      lessonsDir: join(root, 'lessons'),
      siteDir: parts.siteDir,
      runnerProgram: parts.runnerProgram ?? join(root, 'dist', 'runner.js'),
      log: pino({ level: 'error' }),
    });
  let gateway = await open(0);
  const { url } = gateway;
  return {
    url,
    operationsUrl: () => gateway.operationsUrl,
    stateDir,
    accelerator: lab.accelerator,
    async restartGateway() {
      await gateway.stop(undefined);
      gateway = await open(Number(new URL(url).port));
    },
    async stop() {
      await gateway.stop('server-stopped');
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}
