/** Set-up that is killed without a word, in the middle of what takes long: nothing runs on, and the next one starts over. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { readConfig } from '../config';
import { processesOf } from '../testing/leftovers';
import { labSetUpTimeoutMs } from '../testing/lab';
import { root } from '../root';
import { until } from '../testing/pair';
import type { ArtifactKind } from '../store/artifacts';
import { prepareImage } from '../setup/stages';

let imageDir: string;
/** A cache of the test's own. */
let cacheDir: string;

beforeAll(async () => {
  imageDir = await prepareImage(readConfig(), root, new AbortController().signal);
}, labSetUpTimeoutMs);
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'lab-cache-'));
});
afterEach(async () => {
  await rm(cacheDir, { recursive: true, force: true });
});

const setUp = (...parameters: string[]): ChildProcess =>
  spawn(process.execPath, [join(root, 'dist', 'lab.js'), 'setup', ...parameters], {
    env: { ...process.env, LAB_CACHE_DIR: cacheDir },
    stdio: 'ignore',
  });

const entries = (kind: ArtifactKind): string[] =>
  existsSync(join(cacheDir, kind)) ? readdirSync(join(cacheDir, kind)) : [];
const partials = (kind: ArtifactKind): string[] => entries(kind).filter((name) => name.includes('.partial-'));
const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;
const mountsBelow = (): string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(cacheDir));

/** Kills a set-up once `isUnderWay`, looks for what is left, and lets the next one begin and be cancelled. */
async function killAndGoOn(
  kind: ArtifactKind,
  parameters: string[],
  isUnderWay: () => boolean,
): Promise<void> {
  const killed = setUp(...parameters);
  await until(isUnderWay, 120_000);
  killed.kill('SIGKILL');
  await until(() => processesOf(cacheDir).length === 0, 30_000);
  expect(mountsBelow()).toEqual([]);
  expect(entries(kind).filter((name) => !name.includes('.'))).toEqual([]);

  const next = setUp(...parameters);
  await until(
    () => partials(kind).length === 1 && partials(kind)[0]?.endsWith(`-${next.pid}`) === true,
    60_000,
  );
  await until(isUnderWay, 120_000);
  next.kill('SIGTERM');
  await until(() => hasEnded(next) && processesOf(cacheDir).length === 0, 30_000);
  expect(mountsBelow()).toEqual([]);
  expect(partials(kind)).toEqual([]);
}

test('the build of the host image', async () => {
  await killAndGoOn('host-image', ['--image-only'], () =>
    processesOf(cacheDir).some((line) => /dpkg|apt-get|mmdebstrap/.test(line)),
  );
});

test('the making of the template', async () => {
  mkdirSync(join(cacheDir, 'host-image'));
  symlinkSync(imageDir, join(cacheDir, 'host-image', basename(imageDir)));
  const probe = join(dirname(dirname(imageDir)), 'kvm-probe.json');
  if (existsSync(probe)) symlinkSync(probe, join(cacheDir, basename(probe)));
  const sockets = () => readdirSync(tmpdir()).filter((name) => name.startsWith('lab-template-'));
  const others = sockets();
  await killAndGoOn('template', [], () =>
    partials('template').some((name) => existsSync(join(cacheDir, 'template', name, 'destination.ram'))),
  );
  expect(sockets().filter((name) => !others.includes(name))).toEqual([]);
});
