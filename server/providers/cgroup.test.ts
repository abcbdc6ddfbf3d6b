import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cgroupName, Cgroups, killCgroups, removeCgroups } from './cgroup';

const limits = {
  memoryBytes: 2 ** 30,
  cpus: 1.5,
  processes: 100,
  ioBytesPerSecond: 1e6,
  ioDirectory: tmpdir(),
};

describe('on a simulated machine of plain files', () => {
  let root: string;
  const put = async (path: string, text: string) => {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text);
  };
  const get = (path: string) => readFile(join(root, path), 'utf8');

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'lab-cgroup-'));
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  test('version 1: a group for each controller, below the server’s own', async () => {
    await put(
      'proc/self/mountinfo',
      `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
`,
    );
    await put('proc/self/cgroup', '5:memory:/mine\n4:cpu,cpuacct:/../of-another-namespace\n');
    await mkdir(join(root, 'sys/fs/cgroup/memory/mine'), { recursive: true });
    await mkdir(join(root, 'sys/fs/cgroup/cpu'), { recursive: true });
    const cgroups = await Cgroups.find(root);
    expect([...cgroups.available]).toEqual(['memory', 'cpu']);
    const name = cgroupName('abc');
    expect(await cgroups.create(name, limits)).toEqual([
      join(root, 'sys/fs/cgroup/memory/mine', name),
      join(root, 'sys/fs/cgroup/cpu', name),
    ]);
    expect(await get(`sys/fs/cgroup/memory/mine/${name}/memory.limit_in_bytes`)).toBe('1073741824');
    expect(await get(`sys/fs/cgroup/cpu/${name}/cpu.cfs_quota_us`)).toBe('150000');
  });

  test('version 2: one group in the service’s group, and the server moves into a leaf', async () => {
    const unit = 'sys/fs/cgroup/system.slice/lab.service';
    await put('proc/self/mountinfo', '30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n');
    await put('proc/self/cgroup', '0::/system.slice/lab.service\n');
    await put(`${unit}/cgroup.controllers`, 'cpuset cpu io memory pids\n');
    // A directory in place of the file: writing fails, as it does while the group has processes.
    await mkdir(join(root, unit, 'cgroup.subtree_control'));
    await put(`${unit}/cgroup.procs`, '4242\n');
    expect([...(await Cgroups.find(root)).available]).toEqual([]);
    expect(await get(`${unit}/lab-server/cgroup.procs`)).toBe('4242');

    await rm(join(root, unit, 'cgroup.subtree_control'), { recursive: true });
    await put(`${unit}/cgroup.subtree_control`, 'cpu memory pids io\n');
    const cgroups = await Cgroups.find(root);
    expect([...cgroups.available]).toEqual(['memory', 'cpu', 'pids', 'io']);
    const name = cgroupName('abc');
    expect(await cgroups.create(name, limits)).toEqual([join(root, unit, name)]);
    expect(await get(`${unit}/${name}/memory.max`)).toBe('1073741824');
    expect(await get(`${unit}/${name}/cpu.max`)).toBe('150000 100000');
    expect(await get(`${unit}/${name}/pids.max`)).toBe('100');
  });

  test('version 2 without delegation: root uses the top group, not the login session’s', async () => {
    await put('proc/self/mountinfo', '30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n');
    await put('proc/self/cgroup', '0::/user.slice/user-0.slice/session-1.scope\n');
    await put('sys/fs/cgroup/cgroup.controllers', 'pids\n');
    await put('sys/fs/cgroup/cgroup.subtree_control', 'pids\n');
    const expected = process.getuid?.() === 0 ? ['pids'] : [];
    expect([...(await Cgroups.find(root)).available]).toEqual(expected);
  });

  test('without control groups nothing can be limited', async () => {
    const cgroups = await Cgroups.find(root);
    expect([...cgroups.available]).toEqual([]);
    expect(await cgroups.create(cgroupName('abc'), limits)).toEqual([]);
  });
});

const here = await Cgroups.find();
describe.skipIf(!here.available.has('pids') || !here.available.has('memory'))('on this machine', () => {
  test('a group keeps its limits, can be killed as a whole, and can be removed', async () => {
    const directories = await here.create(cgroupName(`test-${process.pid}`), limits);
    try {
      const script = `for group; do echo 0 >$group/cgroup.procs; done; while :; do sleep 100 & done`;
      // Processes without end: only the limit stops them.
      const bomb = spawn('/bin/sh', ['-c', script, 'sh', ...directories], { stdio: 'ignore' });
      const pidsOf = async () => {
        const files = directories.map((directory) => join(directory, 'cgroup.procs'));
        const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
        return new Set(texts.flatMap((text) => text.split('\n').filter(Boolean)));
      };
      await expect.poll(async () => (await pidsOf()).size, { timeout: 10_000 }).toBeGreaterThan(90);
      expect((await pidsOf()).size).toBeLessThanOrEqual(limits.processes);
      const ended = bomb.exitCode === null && bomb.signalCode === null ? once(bomb, 'exit') : undefined;
      await killCgroups(directories);
      await ended;
      expect(await pidsOf()).toEqual(new Set());
    } finally {
      await killCgroups(directories);
      await removeCgroups(directories);
    }
    expect(directories.filter((directory) => existsSync(directory))).toEqual([]);
  });
});
