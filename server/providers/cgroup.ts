/**
 * Hard limits for one sandbox by the kernel's control groups, version 1 or 2, whichever the machine has. They are plain
 * files; see the kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
 */
import { constants } from 'node:fs';
import { access, mkdir, readdir, readFile, realpath, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const controllers = ['memory', 'cpu', 'pids', 'io'] as const;
export type Controller = (typeof controllers)[number];

export interface CgroupLimits {
  memoryBytes: number;
  /** Processors' worth of time. */
  cpus: number;
  /** Processes and threads. */
  processes: number;
  /** Reads and writes each. Version 1 limits only those that pass by the page cache. */
  ioBytesPerSecond: number;
  /** A directory on the disk that `ioBytesPerSecond` is for. */
  ioDirectory: string;
}

/** Where a controller's groups are made. */
interface Parent {
  version: 1 | 2;
  directory: string;
}

/** Directory under `/` of everything read here; another one in tests. */
type Root = string;

/** A period that is short enough for a terminal not to stutter; the kernel's own default. */
const cpuPeriodUs = 100_000;
/** Killed processes leave their group within milliseconds; a machine that writes out their memory takes longer. */
const emptyTimeoutMs = 10_000;
/** The group that the server itself moves to where version 2 forbids processes beside groups ("no internal processes"). */
const ownLeaf = 'lab-server';

export class Cgroups {
  private constructor(
    private readonly parents: ReadonlyMap<Controller, Parent>,
    private readonly root: Root,
  ) {}

  /** Looks which controllers this process may make groups for; never throws. */
  static async find(root: Root = '/'): Promise<Cgroups> {
    const parents = new Map<Controller, Parent>();
    const mounts = await readMounts(root);
    const own = await readOwnGroups(root);
    for (const controller of controllers) {
      const name = controller === 'io' ? 'blkio' : controller;
      const mount = mounts.find((candidate) => candidate.options.includes(name) && candidate.version === 1);
      if (!mount) continue;
      const group = join(mount.path, relative(mount.root, own.get(name) ?? '/'));
      // A path from outside of this process's cgroup namespace is not there.
      const directory = (await isWritable(group)) ? group : mount.path;
      if (await isWritable(directory)) parents.set(controller, { version: 1, directory });
    }
    const unified = mounts.find((mount) => mount.version === 2);
    if (unified) {
      const directory = join(unified.path, relative(unified.root, delegatedGroup(own.get('') ?? '/')));
      for (const controller of await enableControllers(directory)) {
        if (!parents.has(controller)) parents.set(controller, { version: 2, directory });
      }
    }
    return new Cgroups(parents, root);
  }

  /** Controllers that can be limited here. */
  get available(): ReadonlySet<Controller> {
    return new Set(this.parents.keys());
  }

  /** Where the groups of a sandbox are, whether they exist or not. */
  paths(name: string): string[] {
    return [...new Set([...this.parents.values()].map(({ directory }) => join(directory, name)))];
  }

  /**
   * Makes the groups of a sandbox with their limits, without a process in them.
   * @returns their directories; a process enters by writing `0` to `cgroup.procs` of each
   */
  async create(name: string, limits: CgroupLimits): Promise<string[]> {
    const directories = new Set<string>();
    try {
      for (const [controller, parent] of this.parents) {
        const directory = join(parent.directory, name);
        directories.add(directory);
        await mkdir(directory, { recursive: true });
        for (const [file, value] of await this.settings(controller, parent.version, limits)) {
          await writeFile(join(directory, file), value).catch((error: unknown) => {
            // Kernels without swap accounting have no file for it.
            if (!optionalFiles.has(file)) throw error;
          });
        }
      }
      return [...directories];
    } catch (error) {
      await removeCgroups([...directories]);
      throw error;
    }
  }

  private async settings(
    controller: Controller,
    version: 1 | 2,
    limits: CgroupLimits,
  ): Promise<(readonly [file: string, value: string])[]> {
    switch (controller) {
      case 'memory':
        return version === 1
          ? [
              ['memory.limit_in_bytes', String(limits.memoryBytes)],
              // Memory and swap together: nothing of it may go to swap.
              ['memory.memsw.limit_in_bytes', String(limits.memoryBytes)],
            ]
          : [
              ['memory.max', String(limits.memoryBytes)],
              ['memory.swap.max', '0'],
            ];
      case 'cpu': {
        const quota = String(Math.round(limits.cpus * cpuPeriodUs));
        return version === 1
          ? [
              ['cpu.cfs_period_us', String(cpuPeriodUs)],
              ['cpu.cfs_quota_us', quota],
            ]
          : [['cpu.max', `${quota} ${cpuPeriodUs}`]];
      }
      case 'pids':
        return [['pids.max', String(limits.processes)]];
      case 'io': {
        const device = await diskOf(limits.ioDirectory, this.root);
        if (device === undefined) return [];
        const rate = limits.ioBytesPerSecond;
        return version === 1
          ? [
              ['blkio.throttle.read_bps_device', `${device} ${rate}`],
              ['blkio.throttle.write_bps_device', `${device} ${rate}`],
            ]
          : [['io.max', `${device} rbps=${rate} wbps=${rate}`]];
      }
    }
  }
}

const optionalFiles = new Set(['memory.memsw.limit_in_bytes', 'memory.swap.max']);

/** Whether no process is in the groups, or the groups are gone. */
export async function isCgroupEmpty(directories: readonly string[]): Promise<boolean> {
  const processes = await Promise.all(directories.map(processesIn));
  return processes.every((pids) => pids.length === 0);
}

/** Kills every process in the groups, also while these fork. */
export async function killCgroups(directories: readonly string[]): Promise<void> {
  const deadline = Date.now() + emptyTimeoutMs;
  // Version 1 has no way to kill a whole group at once, so new processes are forbidden first.
  for (const directory of directories) await writeFile(join(directory, 'pids.max'), '0').catch(ignore);
  for (;;) {
    const pids = new Set<number>();
    for (const directory of directories) {
      for (const pid of await processesIn(directory)) pids.add(pid);
    }
    if (pids.size === 0 || Date.now() > deadline) return;
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
    await sleep(10);
  }
}

/** Removes groups that have no process any more; those that are gone already are none. */
export async function removeCgroups(directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    const deadline = Date.now() + emptyTimeoutMs;
    for (;;) {
      try {
        await rmdir(directory);
        break;
      } catch (error) {
        const busy = error instanceof Error && 'code' in error && error.code === 'EBUSY';
        if (!busy || Date.now() > deadline) break;
        await sleep(10);
      }
    }
  }
}

const ignore = (): undefined => undefined;

async function processesIn(directory: string): Promise<number[]> {
  const text = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(() => '');
  return text.split('\n').filter(Boolean).map(Number);
}

const isWritable = (path: string): Promise<boolean> =>
  access(path, constants.W_OK).then(
    () => true,
    () => false,
  );

/** Mounts of control groups, of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
async function readMounts(
  root: Root,
): Promise<{ version: 1 | 2; root: string; path: string; options: string[] }[]> {
  const text = await readFile(join(root, 'proc/self/mountinfo'), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [fields, after] = line.split(' - ').map((half) => half.split(' '));
    const [type, , options] = after ?? [];
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    return [
      {
        version: type === 'cgroup' ? (1 as const) : (2 as const),
        root: fields?.[3] ?? '/',
        path: join(root, fields?.[4] ?? '/'),
        options: (options ?? '').split(','),
      },
    ];
  });
}

/** The groups of this process by controller; that of version 2 has the name ''. */
async function readOwnGroups(root: Root): Promise<Map<string, string>> {
  const text = await readFile(join(root, 'proc/self/cgroup'), 'utf8').catch(() => '');
  return new Map(
    text.split('\n').flatMap((line) => {
      const [, names, ...path] = line.split(':');
      return names === undefined ? [] : names.split(',').map((name) => [name, path.join(':')] as const);
    }),
  );
}

/**
 * The group of version 2 that sandboxes' groups are made in. A service's own (systemd wants `Delegate=yes` for that, and
 * `DelegateSubgroup=` puts the server one level below it); from a login session root uses the top, since that session's scope
 * is not its to divide.
 */
function delegatedGroup(own: string): string {
  const unit = /^.*\.(?:service|scope)(?=\/|$)/.exec(own)?.[0];
  if (unit !== undefined && (unit !== own || own.endsWith('.service'))) return unit;
  return process.getuid?.() === 0 ? '/' : own;
}

/** Lets groups below `directory` have controllers. @returns those that they have then */
async function enableControllers(directory: string): Promise<Controller[]> {
  if (!(await isWritable(directory))) return [];
  const words = async (file: string) =>
    (await readFile(join(directory, file), 'utf8').catch(() => '')).trim().split(/\s+/);
  const offered = await words('cgroup.controllers');
  const wanted = controllers.filter((controller) => offered.includes(controller));
  const enabled = async () => {
    const now = await words('cgroup.subtree_control');
    return wanted.filter((controller) => now.includes(controller));
  };
  const enable = async () => {
    for (const controller of wanted) {
      await writeFile(join(directory, 'cgroup.subtree_control'), `+${controller}`).catch(ignore);
    }
  };
  if ((await enabled()).length < wanted.length) await enable();
  if ((await enabled()).length < wanted.length) {
    const leaf = join(directory, ownLeaf);
    await mkdir(leaf, { recursive: true }).catch(ignore);
    for (const pid of await processesIn(directory)) {
      await writeFile(join(leaf, 'cgroup.procs'), String(pid)).catch(ignore);
    }
    await enable();
  }
  return enabled();
}

/** `major:minor` of the disk that a directory is on; undefined when it is on none, as with overlay file systems. */
async function diskOf(directory: string, root: Root = '/'): Promise<string | undefined> {
  const { dev } = await stat(directory);
  // The encoding of makedev(3).
  const major = ((dev >> 8) & 0xfff) | (Math.floor(dev / 2 ** 32) & 0xfffff000);
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  try {
    const device = await realpath(join(root, 'sys/dev/block', `${major}:${minor}`));
    // Limits are for whole disks.
    const disk = (await readdir(device)).includes('partition') ? dirname(device) : device;
    return (await readFile(join(disk, 'dev'), 'utf8')).trim();
  } catch {
    return undefined;
  }
}

/** Sandboxes' groups by the names that they were created with. */
export const cgroupName = (sandboxId: string): string => `lab-${basename(sandboxId)}`;
