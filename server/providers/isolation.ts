/**
 * Isolates one sandbox: its runner and everything that the runner starts (QEMU, ssh) get a user id, namespaces and limits of their
 * own. An attacker who escapes from a guest into its QEMU finds the files of that sandbox and nothing else: no network, no other
 * process, no capability.
 *
 * The tools are bubblewrap (namespaces), setpriv (user, capabilities) and prlimit. cgroup.ts limits the sandbox as a whole.
 */
import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { execa } from 'execa';
import { mostPairBytes, type Config } from '../config';
import { LabError } from '../protocol/errors';
import type { Accelerator } from '../protocol/session';
import { Cgroups, type CgroupLimits, type Controller } from './cgroup';

/** The isolation that this machine and configuration provide. */
export interface IsolationReport {
  /** `full`: nothing is missing. `none`: sandboxes run as plain processes of the server's user. */
  level: 'full' | 'partial' | 'none';
  /** Each sandbox sees only its own files, processes and network. */
  namespaces: boolean;
  /** Each sandbox has an unprivileged user id of its own. */
  ownUser: boolean;
  /** Resources whose total is limited for each sandbox. */
  limits: readonly Controller[];
  missing: readonly MissingPart[];
}

interface MissingPart {
  /** One sentence: what sandboxes lack, and why. */
  what: string;
  /** How to fix it, a command where there is one. */
  fix: string;
}

/** The only files of the machine that a sandbox sees, besides system directories. Paths are the same inside and outside. */
export interface SandboxFiles {
  /** Read-only. */
  readOnly: readonly string[];
  /** The only directory that it may write to. */
  run: string;
  /** Private copies that replace other files: [copy, path inside]. */
  overlaid: readonly (readonly [copy: string, inside: string])[];
}

export interface SandboxIdentity {
  /** User and group id; undefined keeps the server's. */
  uid: number | undefined;
  /** Directories of its control groups. */
  cgroups: readonly string[];
}

/** Programs that a runner starts. All must be below /usr, where a sandbox sees them. */
const programs = ['setpriv', 'env', 'ssh', 'ssh-keygen', 'socat', 'zstd', 'qemu-img', 'qemu-system-x86_64'];

/** A sandbox holds a runner (12 threads), two QEMUs (each with up to 64 threads for its disk), and ssh for terminals and checks. */
const maxProcesses = 512;
/** For sockets of pages, terminals and checks, disk images, and Node's own files: fewer than 100 measured. */
const maxOpenFiles = 4096;
/** Node and ssh write little to /tmp. It is memory and counts towards the sandbox's limit. */
const tmpBytes = 16 * 1024 * 1024;
/** A file may hold a host's disk, or a host's memory (a saved state) with QEMU's headers of at most this size. */
const fileSlackMiB = 64;

const exists = (path: string, mode = constants.F_OK): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );

async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']) {
    const path = join(directory, name);
    if (directory !== '' && (await exists(path, constants.X_OK))) return realpath(path);
  }
  return undefined;
}

export class Isolation {
  readonly #config: Config;
  readonly #cgroups: Cgroups | undefined;
  readonly #kvmGroup: number | undefined;

  private constructor(
    config: Config,
    readonly report: IsolationReport,
    cgroups: Cgroups | undefined,
    kvmGroup: number | undefined,
  ) {
    this.#config = config;
    this.#cgroups = cgroups;
    this.#kvmGroup = kvmGroup;
  }

  /** Tests this machine by making an empty sandbox. Never throws: the report lists what is missing. */
  static async probe(config: Config): Promise<Isolation> {
    if (config.isolation === 'none') {
      const missing = [
        { what: 'The configuration switches isolation off.', fix: 'Set isolation to auto or full.' },
      ];
      const report = { level: 'none' as const, namespaces: false, ownUser: false, limits: [], missing };
      return new Isolation(config, report, undefined, undefined);
    }
    const isRoot = process.getuid?.() === 0;
    const missing: MissingPart[] = [];
    const noNamespaces = await whyNoNamespaces(isRoot);
    if (noNamespaces) missing.push(noNamespaces);
    const namespaces = noNamespaces === undefined;
    const ownUser = namespaces && isRoot;
    if (!isRoot) {
      missing.push({
        what: 'Sandboxes run as the server’s user, because only root can give each a user of its own.',
        fix: 'Start the server as root.',
      });
    }
    const cgroups = await Cgroups.find();
    const limits = [...cgroups.available];
    const unlimited = (['memory', 'cpu', 'pids'] as const).filter((name) => !cgroups.available.has(name));
    if (unlimited.length > 0) {
      missing.push({
        what: `Sandboxes have no limit for ${unlimited.join(', ')}: the server cannot make control groups for it.`,
        fix: isRoot
          ? 'Mount cgroup v2 writable at /sys/fs/cgroup (in a container: --cgroupns=private with a writable /sys/fs/cgroup).'
          : 'Start the server as root, or with: systemd-run --user --scope -p Delegate=yes npm start',
      });
    }
    const level = missing.length === 0 ? 'full' : namespaces || limits.length > 0 ? 'partial' : 'none';
    const kvm = await stat('/dev/kvm').catch(() => undefined);
    return new Isolation(config, { level, namespaces, ownUser, limits, missing }, cgroups, kvm?.gid);
  }

  /** @throws LabError `unsafe` listing everything that is missing, when the configuration requires full isolation */
  requireConfigured(): void {
    const { level, missing } = this.report;
    if (this.#config.isolation !== 'full' || level === 'full') return;
    throw new LabError(
      'unsafe',
      `isolation is set to full, but this machine does not provide it:\n${missing.map(({ what }) => `- ${what}`).join('\n')}`,
      { hint: missing.map(({ fix }) => fix).join('\n') },
    );
  }

  /** Makes the control groups of a sandbox. @returns their directories */
  async createCgroups(name: string, runDirectory: string): Promise<string[]> {
    return (await this.#cgroups?.create(name, this.#limits(runDirectory))) ?? [];
  }

  #limits(runDirectory: string): CgroupLimits {
    const { sessionCpus, sessionIoMiBps } = this.#config;
    return {
      memoryBytes: mostPairBytes(this.#config),
      cpus: sessionCpus,
      processes: maxProcesses,
      ioBytesPerSecond: sessionIoMiBps * 1024 * 1024,
      ioDirectory: runDirectory,
    };
  }

  /**
   * Returns the command line that runs `command` in a sandbox. A shell reads only the names of the control groups.
   * @param accelerator decides whether /dev/kvm is in the sandbox
   */
  confine(
    command: readonly string[],
    files: SandboxFiles,
    identity: SandboxIdentity,
    accelerator: Accelerator,
  ): string[] {
    const { namespaces } = this.report;
    return [
      ...enterCgroups(identity.cgroups),
      ...this.#resourceLimits(identity),
      ...(namespaces ? ['bwrap', ...namespaced(files, identity.uid === undefined, accelerator)] : []),
      ...(namespaces && identity.uid !== undefined
        ? unprivileged(identity.uid, accelerator === 'kvm' ? this.#kvmGroup : undefined)
        : []),
      ...command,
    ];
  }

  #resourceLimits({ uid }: SandboxIdentity): string[] {
    const { hostDiskMiB, hostMemoryMiB } = this.#config;
    const fileBytes = Math.max(hostDiskMiB, hostMemoryMiB + fileSlackMiB) * 1024 * 1024;
    return [
      'prlimit',
      '--core=0',
      `--nofile=${maxOpenFiles}`,
      // The most that a guest can write: beyond this size of the overlay, QEMU's write fails (EFBIG).
      `--fsize=${fileBytes}`,
      // The kernel counts per user id, so the limit makes sense only for a user id of the sandbox's own.
      ...(uid === undefined ? [] : [`--nproc=${maxProcesses}`]),
      '--',
    ];
  }
}

/** The shell enters the groups before anything in the sandbox runs, so nothing can run outside them. */
function enterCgroups(cgroups: readonly string[]): string[] {
  if (cgroups.length === 0) return [];
  const script = 'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"';
  return ['/bin/sh', '-c', script, 'enter-cgroups', ...cgroups, '--'];
}

/** System directories: links into /usr on a merged system, real directories on others. */
const systemDirectories = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/**
 * Arguments of bubblewrap.
 * @param ownUserNamespace true for a server that is not root; the sandbox can then make no further user namespaces
 */
function namespaced(files: SandboxFiles, ownUserNamespace: boolean, accelerator: Accelerator): string[] {
  return [
    ...(ownUserNamespace ? ['--unshare-user', '--disable-userns'] : []),
    // A network namespace that has only its own loopback.
    ...['--unshare-net', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ...[
      '--hostname',
      'sandbox',
      '--clearenv',
      '--setenv',
      'PATH',
      '/usr/bin:/usr/sbin',
      '--setenv',
      'HOME',
      '/tmp',
    ],
    // Without --dir, bubblewrap would make the directories above a private file private to root.
    ...['--dir', '/etc', '--ro-bind', '/usr', '/usr'],
    ...systemDirectories.flatMap((name) => ['--ro-bind-try', `/${name}`, `/${name}`]),
    ...['--ro-bind-try', '/etc/ld.so.cache', '/etc/ld.so.cache'],
    ...['--ro-bind-try', '/etc/alternatives', '/etc/alternatives'],
    ...['--proc', '/proc', '--dev', '/dev'],
    ...(accelerator === 'kvm' ? ['--dev-bind', '/dev/kvm', '/dev/kvm'] : []),
    ...['--perms', '1777', '--size', String(tmpBytes), '--tmpfs', '/tmp'],
    ...[...files.readOnly, files.run].flatMap((path) => ['--dir', dirname(path)]),
    ...files.readOnly.flatMap((path) => ['--ro-bind', path, path]),
    ...['--bind', files.run, files.run],
    ...files.overlaid.flatMap(([copy, inside]) => ['--ro-bind', copy, inside]),
    // The sandbox's root is a memory file system, and must not become another place to write to.
    ...['--remount-ro', '/', '--chdir', '/', '--'],
  ];
}

const unprivileged = (uid: number, group: number | undefined): string[] => [
  'setpriv',
  ...['--reuid', String(uid), '--regid', String(uid)],
  ...(group === undefined ? ['--clear-groups'] : ['--groups', String(group)]),
  ...['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs', '--'],
];

async function whyNoNamespaces(isRoot: boolean): Promise<MissingPart | undefined> {
  const consequence = 'Sandboxes see the server’s files, processes and network';
  if (!(await findProgram('bwrap'))) {
    return { what: `${consequence}: bubblewrap is not installed.`, fix: 'sudo apt-get install bubblewrap' };
  }
  for (const program of programs) {
    const path = await findProgram(program);
    if (path !== undefined && !path.startsWith('/usr/') && !path.startsWith('/bin/')) {
      return {
        what: `${consequence}: ${program} is ${path}, but a sandbox can only see programs below /usr.`,
        fix: `Install ${program} below /usr or /usr/local.`,
      };
    }
  }
  // The arguments of a real sandbox, except its files.
  const files = { readOnly: [], run: tmpdir(), overlaid: [] };
  const { exitCode, stderr } = await execa('bwrap', [...namespaced(files, !isRoot, 'tcg'), 'true'], {
    reject: false,
    stdin: 'ignore',
  });
  if (exitCode === 0) return undefined;
  const lastLine = stderr.trim().split('\n').at(-1) ?? '';
  return {
    what: `${consequence}: bubblewrap cannot make namespaces here (${lastLine}).`,
    fix: isRoot
      ? 'In a container: run it with --privileged, or with CAP_SYS_ADMIN and no seccomp filter on mount and unshare.'
      : 'Allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0, or start the server as root.',
  };
}
