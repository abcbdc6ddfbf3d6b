/**
 * Hard limits for one sandbox by the kernel's control groups, version 1 or 2, depending on the machine. The interface consists of
 * plain files; see the kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
 */
import { constants } from 'node:fs';
import { access, mkdir, readdir, readFile, realpath, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasErrno } from '../posix';

export const controllers = ['memory', 'cpu', 'pids', 'io'] as const;
export type Controller = (typeof controllers)[number];

export interface CgroupLimits {
  memoryBytes: number;
  /** Processor time, as a number of processors. */
  cpus: number;
  /** Processes and threads. */
  processes: number;
  /** For reads and for writes each. Version 1 limits only I/O that bypasses the page cache. */
  ioBytesPerSecond: number;
  /** A directory on the disk whose throughput is limited. */
  ioDirectory: string;
}

/** The directory in which a controller's groups are made. */
interface Parent {
  version: 1 | 2;
  directory: string;
}

/** The root directory for every path read here: `/`, or a directory of a test. */
type Root = string;

/** Short enough that a terminal does not stutter; also the kernel's default. */
const cpuPeriodUs = 100_000;
/** Killed processes leave their group within milliseconds; a machine that swaps their memory out takes longer. */
const emptyTimeoutMs = 10_000;
/** The group to which the server moves itself, because version 2 forbids processes beside groups ("no internal processes"). */
const ownLeaf = 'lab-server';

export class Cgroups {
  readonly #parents: ReadonlyMap<Controller, Parent>;
  readonly #root: Root;

  private constructor(parents: ReadonlyMap<Controller, Parent>, root: Root) {
    this.#parents = parents;
    this.#root = root;
  }

  /** Finds the controllers for which this process may make groups; never throws. */
  static async find(root: Root = '/'): Promise<Cgroups> {
    const parents = new Map<Controller, Parent>();
    const mounts = await readMounts(root);
    const own = await readOwnGroups(root);
    for (const controller of controllers) {
      const name = controller === 'io' ? 'blkio' : controller;
      const mount = mounts.find((candidate) => candidate.options.includes(name) && candidate.version === 1);
      if (!mount) continue;
      const group = join(mount.path, relative(mount.root, own.get(name) ?? '/'));
      // A path outside this process's cgroup namespace does not exist here.
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

  /** Controllers whose limits can be set here. */
  get available(): ReadonlySet<Controller> {
    return new Set(this.#parents.keys());
  }

  /** Directories of a sandbox's groups, whether they exist or not. */
  paths(name: string): string[] {
    return [...new Set([...this.#parents.values()].map(({ directory }) => join(directory, name)))];
  }

  /**
   * Makes the empty groups of a sandbox, with their limits.
   * @returns their directories; a process enters a group by writing `0` to its `cgroup.procs`
   */
  async create(name: string, limits: CgroupLimits): Promise<string[]> {
    const directories = new Set<string>();
    try {
      for (const [controller, parent] of this.#parents) {
        const directory = join(parent.directory, name);
        directories.add(directory);
        await mkdir(directory, { recursive: true });
        for (const [file, value] of await this.#settings(controller, parent.version, limits)) {
          await writeFile(join(directory, file), value).catch((error: unknown) => {
            // Kernels without swap accounting lack the swap files.
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

  async #settings(
    controller: Controller,
    version: 1 | 2,
    limits: CgroupLimits,
  ): Promise<(readonly [file: string, value: string])[]> {
    switch (controller) {
      case 'memory':
        return version === 1
          ? [
              ['memory.limit_in_bytes', String(limits.memoryBytes)],
              // Memory and swap together: with the same limit, nothing may go to swap.
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
        const device = await diskOf(limits.ioDirectory, this.#root);
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

/** Whether the groups hold no process, or no longer exist. */
export async function isCgroupEmpty(directories: readonly string[]): Promise<boolean> {
  const processes = await Promise.all(directories.map(processesIn));
  return processes.every((pids) => pids.length === 0);
}

/** Kills every process in the groups, even if the processes keep forking. */
export async function killCgroups(directories: readonly string[]): Promise<void> {
  const deadline = Date.now() + emptyTimeoutMs;
  // Version 1 cannot kill a whole group at once, so the limit first forbids new processes.
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
        // The process has ended meanwhile.
      }
    }
    await sleep(10);
  }
}

/** Removes empty groups; groups that no longer exist are skipped. */
export async function removeCgroups(directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    const deadline = Date.now() + emptyTimeoutMs;
    for (;;) {
      try {
        await rmdir(directory);
        break;
      } catch (error) {
        if (!hasErrno(error, 'EBUSY') || Date.now() > deadline) break;
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

/** Reads the mounts of control groups from /proc/self/mountinfo (proc_pid_mountinfo(5)). */
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

/** The groups of this process by controller; the name of version 2's group is ''. */
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
 * The version 2 group in which sandboxes' groups are made. In a service, it is the service's own group: systemd requires
 * `Delegate=yes`, and `DelegateSubgroup=` puts the server one level below. From a login session, root uses the top group, because
 * the session's scope does not belong to it.
 */
function delegatedGroup(own: string): string {
  const unit = /^.*\.(?:service|scope)(?=\/|$)/.exec(own)?.[0];
  if (unit !== undefined && (unit !== own || own.endsWith('.service'))) return unit;
  return process.getuid?.() === 0 ? '/' : own;
}

/** Enables controllers for groups below `directory`. @returns the enabled controllers */
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

/** `major:minor` of a directory's disk; undefined when it has no disk, for example on an overlay file system. */
async function diskOf(directory: string, root: Root = '/'): Promise<string | undefined> {
  const { dev } = await stat(directory);
  // glibc's encoding of device numbers (makedev(3)).
  const major = ((dev >> 8) & 0xfff) | (Math.floor(dev / 2 ** 32) & 0xfffff000);
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  try {
    const device = await realpath(join(root, 'sys/dev/block', `${major}:${minor}`));
    // Limits apply to whole disks.
    const disk = (await readdir(device)).includes('partition') ? dirname(device) : device;
    return (await readFile(join(disk, 'dev'), 'utf8')).trim();
  } catch {
    return undefined;
  }
}

/** The name of a sandbox's groups. */
export const cgroupName = (sandboxId: string): string => `lab-${basename(sandboxId)}`;
