/** A whole lab for tests and benchmarks with real pairs. It uses the machine's artifact cache, its own state directory and a free port. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { Accelerator } from '../protocol/session';
import { readConfig, type Config } from '../config';
import { root } from '../root';
import { prepareLab } from '../setup/stages';
import { startGateway, type Gateway } from '../gateway/gateway';

/** For a test's set-up hook, which makes the host image and the template when the cache is cold. */
export const labSetUpTimeoutMs = 3_600_000;

/**
 * Bound for actions that take a fraction of a second on an idle machine, such as handing over a pair, while other pairs and tests use
 * the processors. Benchmarks measure how fast these actions are.
 */
export const busyMs = 10_000;

export interface TestLab {
  readonly url: string;
  /** Address of metrics and readiness. */
  operationsUrl(): string;
  readonly stateDir: string;
  readonly accelerator: Accelerator;
  /** Closes the gateway and opens another on the same port. The runners keep running. */
  restartGateway(): Promise<void>;
  /** Ends all sessions and removes the state directory. */
  stop(): Promise<void>;
}

export interface TestLabParts {
  /** Directory of the site; undefined for a lab without pages. */
  siteDir?: string;
  /** A program that replaces the runner. */
  runnerProgram?: string;
}

/** @param overrides configuration that the test is about */
export async function startTestLab(
  overrides: Partial<Config> = {},
  parts: TestLabParts = {},
): Promise<TestLab> {
  // Short, because paths of Unix sockets are limited.
  const stateDir = overrides.stateDir ?? (await mkdtemp(join(tmpdir(), 'lab-')));
  // Without a pool, only the pairs that the test asked for run.
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
