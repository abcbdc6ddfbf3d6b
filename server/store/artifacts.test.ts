import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { build as bundle } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LabError } from '../protocol/errors';
import {
  availableBytes,
  ensureArtifact,
  findArtifact,
  hashInputs,
  lastBuildMs,
  listArtifacts,
  pruneArtifacts,
  type ArtifactRequest,
  type Progress,
} from './artifacts';

let cacheDir: string;
let progress: Progress[];
let builds: number;

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'lab-artifacts-'));
  progress = [];
  builds = 0;
});
afterEach(() => rm(cacheDir, { recursive: true, force: true }));

const ensure = (changes: Partial<ArtifactRequest> = {}) =>
  ensureArtifact({
    cacheDir,
    kind: 'host-image',
    key: 'abc',
    label: 'Image',
    neededBytes: 0,
    signal: new AbortController().signal,
    onProgress: (one) => progress.push(one),
    build: async (dir) => {
      builds += 1;
      await mkdir(join(dir, 'boot'));
      await writeFile(join(dir, 'boot', 'vmlinuz'), 'kernel');
      await writeFile(join(dir, 'disk.raw'), 'x'.repeat(1000));
    },
    ...changes,
  });

describe('ensureArtifact', () => {
  test('makes an artifact once', async () => {
    const dir = await ensure({ inputs: { recipe: 'docker/' } });
    expect(dir).toBe(join(cacheDir, 'host-image', 'abc'));
    expect(await ensure()).toBe(dir);
    expect(builds).toBe(1);
    const [entry] = await listArtifacts(cacheDir);
    expect(entry?.info).toMatchObject({
      label: 'Image',
      inputs: { recipe: 'docker/' },
      files: { 'boot/vmlinuz': 6, 'disk.raw': 1000 },
    });
    expect(await lastBuildMs(cacheDir, 'host-image')).toBe(entry?.info?.buildMs);
    expect(await lastBuildMs(cacheDir, 'template')).toBeUndefined();
  });

  test.each([
    [
      'truncated',
      (dir: string) => truncate(join(dir, 'disk.raw'), 10),
      /disk\.raw has 10 bytes instead of 1000/,
    ],
    ['incomplete', (dir: string) => rm(join(dir, 'boot', 'vmlinuz')), /boot\/vmlinuz is missing/],
    ['undescribed', (dir: string) => rm(join(dir, 'artifact.json')), /artifact\.json is missing/],
    [
      'garbled',
      (dir: string) => writeFile(join(dir, 'artifact.json'), '{"kind":'),
      /artifact\.json is missing or not valid/,
    ],
  ])('reports that an artifact is damaged when it is %s, and makes it again', async (_, damage, message) => {
    await damage(await ensure());
    expect(await findArtifact(cacheDir, 'host-image', 'abc')).toBeUndefined();
    const dir = await ensure();
    expect(builds).toBe(2);
    expect(progress).toContainEqual({ step: expect.stringMatching(message) as string, notice: true });
    expect(await findArtifact(cacheDir, 'host-image', 'abc')).toBe(dir);
  });

  test('keeps nothing of a build that fails, and the next one works', async () => {
    const failing = ensure({
      build: async (dir) => {
        await writeFile(join(dir, 'disk.raw'), 'half');
        throw new Error('no mirror');
      },
    });
    await expect(failing).rejects.toMatchObject({ code: 'build-failed', message: 'Image: no mirror' });
    expect(await readdir(join(cacheDir, 'host-image'))).toEqual([]);
    await ensure();
    expect(builds).toBe(1);
  });

  test('keeps nothing of a build that is cancelled', async () => {
    const controller = new AbortController();
    const cancelled = ensure({
      signal: controller.signal,
      build: async (dir) => {
        await writeFile(join(dir, 'disk.raw'), 'half');
        controller.abort();
      },
    });
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    expect(await readdir(join(cacheDir, 'host-image'))).toEqual([]);
  });

  test('makes nothing when its signal is already aborted', async () => {
    await expect(ensure({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'cancelled' });
    expect(builds).toBe(0);
    const dir = await ensure();
    expect(await ensure({ signal: AbortSignal.abort() })).toBe(dir);
  });

  test('checks the disk space before it builds', async () => {
    const neededBytes = (await availableBytes(cacheDir)) * 2;
    const error = await ensure({ neededBytes }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'disk-full' });
    expect(String(error)).toMatch(/Image needs [\d.]+ GB free in .*, which has [\d.]+ GB/);
    expect(builds).toBe(0);
  });

  test.each([
    ['in the server’s own write', Object.assign(new Error('write'), { code: 'ENOSPC' })],
    ['in the output of a recipe', new LabError('build-failed', 'cp: error: No space left on device')],
  ])('reports a full disk as disk-full, seen %s', async (_, failure) => {
    const full = ensure({ build: () => Promise.reject(failure) });
    await expect(full).rejects.toMatchObject({ code: 'disk-full' });
  });

  test('reports a cache directory that it cannot make', async () => {
    await writeFile(join(cacheDir, 'file'), '');
    await expect(ensure({ cacheDir: join(cacheDir, 'file') })).rejects.toMatchObject({ code: 'bad-config' });
  });
});

describe('pruneArtifacts', () => {
  test('removes everything that it is not asked to keep', async () => {
    const kept = await ensure({ key: 'current' });
    await ensure({ key: 'old' });
    await mkdir(join(cacheDir, 'template', 'gone.partial-1'), { recursive: true });
    const removed = await pruneArtifacts(cacheDir, new Set([kept]));
    expect(removed.map((entry) => entry.key).sort()).toEqual(['gone.partial-1', 'old']);
    expect((await listArtifacts(cacheDir)).map((entry) => entry.key)).toEqual(['current']);
  });

  test('does not touch an artifact that is being made', async () => {
    await ensure({
      build: async (dir) => {
        expect(await pruneArtifacts(cacheDir, new Set())).toEqual([]);
        await writeFile(join(dir, 'disk.raw'), '');
      },
    });
    expect(await findArtifact(cacheDir, 'host-image', 'abc')).toBeDefined();
  });
});

describe('two processes', () => {
  let program: string;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    // In node_modules, where the bundle finds its packages.
    const dir = join('node_modules', '.cache', `lab-artifacts-test-${process.pid}`);
    program = join(dir, 'child.mjs');
    await bundle({
      stdin: {
        resolveDir: import.meta.dirname,
        loader: 'ts',
        contents: `
          import { writeFile } from 'node:fs/promises';
          import { setTimeout as delay } from 'node:timers/promises';
          import { ensureArtifact } from './artifacts';
          const [cacheDir, buildMs] = process.argv.slice(2);
          await ensureArtifact({
            cacheDir, kind: 'host-image', key: 'abc', label: 'Image', neededBytes: 0,
            signal: new AbortController().signal,
            onProgress: ({ step }) => console.log(step),
            build: async (dir) => {
              console.log('building');
              await writeFile(dir + '/disk.raw', 'made by the other process');
              await delay(Number(buildMs));
            },
          });
          console.log('done');`,
      },
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
    });
  });
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await rm(join(program, '..'), { recursive: true, force: true });
  });

  async function startOther(buildMs: number): Promise<ChildProcess> {
    const child = spawn(process.execPath, [program, cacheDir, String(buildMs)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === 'building') return child;
    }
    throw new Error('The other process ended without building.');
  }

  test('waits for the process that is building, and builds nothing itself', async () => {
    const other = await startOther(1500);
    await ensure();
    expect(builds).toBe(0);
    expect(progress[0]?.step).toBe(`waiting for process ${other.pid ?? 0}, which is building it`);
  });

  test('takes over at once from a killed process, and removes what it left', async () => {
    const other = await startOther(60_000);
    const partial = `abc.partial-${other.pid ?? 0}`;
    expect(existsSync(join(cacheDir, 'host-image', partial))).toBe(true);
    await mkdir(join(cacheDir, 'host-image', `${partial}.work`));
    const made = ensure();
    await delay(200);
    other.kill('SIGKILL');
    await once(other, 'exit');
    await made;
    expect(builds).toBe(1);
    expect(await readdir(join(cacheDir, 'host-image'))).toEqual(['abc']);
  });
});

describe('hashInputs', () => {
  const write = async (name: string, text: string) => {
    await mkdir(join(cacheDir, 'one', 'recipe'), { recursive: true });
    await writeFile(join(cacheDir, 'one', 'recipe', name), text);
  };
  const recipe = () => hashInputs([join(cacheDir, 'one', 'recipe')]);

  test('depends only on names, contents, the executable bit and extras', async () => {
    await write('build', 'make');
    const seen = [await recipe()];
    expect(seen[0]).toMatch(/^[0-9a-f]{16}$/);
    await write('build', 'make all');
    seen.push(await recipe());
    await chmod(join(cacheDir, 'one', 'recipe', 'build'), 0o755);
    seen.push(await recipe());
    await write('list', '');
    seen.push(await recipe());
    seen.push(await hashInputs([join(cacheDir, 'one', 'recipe')], ['qemu 10']));
    expect(new Set(seen).size).toBe(seen.length);

    const before = await recipe();
    await chmod(join(cacheDir, 'one', 'recipe', 'build'), 0o700);
    await write('README.md', 'about');
    await write('build.test.ts', '');
    expect(await recipe()).toBe(before);
  });
});
