/**
 * Walls around one sandbox: its runner, and with it QEMU, ssh and all else that the runner starts, has a user id, namespaces
 * and limits of its own. Whoever breaks out of a guest into its QEMU finds the files of that one sandbox and nothing else:
 * no network, no other process, no capability.
 *
 * The tools are bubblewrap (namespaces), setpriv (user, capabilities) and prlimit; limits on the whole are in cgroup.ts.
 */
import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { execa } from 'execa';
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import type { Accelerator } from '../protocol/session';
import { Cgroups, type CgroupLimits, type Controller } from './cgroup';

/** What of the isolation this machine and configuration give. */
export interface IsolationReport {
  /** `full`: all of it. `none`: sandboxes run as plain processes of the server's user. */
  level: 'full' | 'partial' | 'none';
  /** Each sandbox sees its own files, processes and network only. */
  namespaces: boolean;
  /** Each sandbox has an unprivileged user id of its own. */
  ownUser: boolean;
  /** Totals that are limited for each sandbox. */
  limits: readonly Controller[];
  missing: readonly MissingPart[];
}

interface MissingPart {
  /** One sentence: what sandboxes do not have, and why. */
  what: string;
  /** What to do about it, a command where there is one. */
  fix: string;
}

/** Files that one sandbox is made of, and nothing else of the machine's is visible in it. Paths are the same inside and outside. */
export interface SandboxFiles {
  /** Read-only. */
  readOnly: readonly string[];
  /** The directory that it writes to. */
  run: string;
  /** Copies of its own that stand in for other files: [copy, path inside]. */
  overlaid: readonly (readonly [copy: string, inside: string])[];
}

export interface SandboxIdentity {
  /** User and group id; undefined leaves the server's own. */
  uid: number | undefined;
  /** Directories of its control groups. */
  cgroups: readonly string[];
}

/** Programs that a runner starts; all must be where a sandbox sees them, below /usr. */
const programs = ['setpriv', 'env', 'ssh', 'ssh-keygen', 'socat', 'zstd', 'qemu-img', 'qemu-system-x86_64'];

/** In a sandbox there are a runner (12 threads), two QEMUs (up to 64 of them for its disk each), and ssh for terminals and checks. */
const maxProcesses = 512;
/** Sockets of pages, terminals and checks, disk images, Node's own: under 100 measured. */
const maxOpenFiles = 4096;
/** Node and ssh write nothing of size there. It is memory, and counts as the sandbox's. */
const tmpBytes = 16 * 1024 * 1024;
/** Beside the disk of a host, a file may hold a host's memory (a saved state) with QEMU's headers. */
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
  private constructor(
    private readonly config: Config,
    readonly report: IsolationReport,
    private readonly cgroups: Cgroups | undefined,
    private readonly kvmGroup: number | undefined,
  ) {}

  /** Tries what this machine gives, by making an empty sandbox. Never throws: what is missing is in the report. */
  static async probe(config: Config): Promise<Isolation> {
    if (config.isolation === 'none') {
      const missing = [
        { what: 'Isolation is switched off by the configuration.', fix: 'Set isolation to auto or full.' },
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
        what: 'Sandboxes run as the server’s own user: only root can give each its own.',
        fix: 'Start the server as root.',
      });
    }
    const cgroups = await Cgroups.find();
    const limits = [...cgroups.available];
    const unlimited = (['memory', 'cpu', 'pids'] as const).filter((name) => !cgroups.available.has(name));
    if (unlimited.length > 0) {
      missing.push({
        what: `Control groups for ${unlimited.join(', ')} cannot be made: a sandbox is not limited in these.`,
        fix: isRoot
          ? 'Mount cgroup v2 writable at /sys/fs/cgroup (in a container: --cgroupns=private with a writable /sys/fs/cgroup).'
          : 'Start the server as root, or by: systemd-run --user --scope -p Delegate=yes npm start',
      });
    }
    const level = missing.length === 0 ? 'full' : namespaces || limits.length > 0 ? 'partial' : 'none';
    const kvm = await stat('/dev/kvm').catch(() => undefined);
    return new Isolation(config, { level, namespaces, ownUser, limits, missing }, cgroups, kvm?.gid);
  }

  /** @throws LabError `unsafe` naming all that is missing, when the configuration asks for full isolation */
  requireConfigured(): void {
    const { level, missing } = this.report;
    if (this.config.isolation !== 'full' || level === 'full') return;
    throw new LabError(
      'unsafe',
      `isolation is full, but this machine does not give it:\n${missing.map(({ what }) => `- ${what}`).join('\n')}`,
      { hint: missing.map(({ fix }) => fix).join('\n') },
    );
  }

  /** Makes the control groups of a sandbox. @returns their directories */
  async createCgroups(name: string, runDirectory: string): Promise<string[]> {
    return (await this.cgroups?.create(name, this.limits(runDirectory))) ?? [];
  }

  private limits(runDirectory: string): CgroupLimits {
    const { hostMemoryMiB, sessionOverheadMiB, sessionCpus, sessionIoMiBps } = this.config;
    return {
      memoryBytes: (2 * hostMemoryMiB + sessionOverheadMiB) * 1024 * 1024,
      cpus: sessionCpus,
      processes: maxProcesses,
      ioBytesPerSecond: sessionIoMiBps * 1024 * 1024,
      ioDirectory: runDirectory,
    };
  }

  /**
   * The command line that runs `command` in a sandbox. Nothing in it is read by a shell but the names of the control groups.
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
      ...this.resourceLimits(identity),
      ...(namespaces ? ['bwrap', ...namespaced(files, identity.uid === undefined, accelerator)] : []),
      ...(namespaces && identity.uid !== undefined
        ? unprivileged(identity.uid, accelerator === 'kvm' ? this.kvmGroup : undefined)
        : []),
      ...command,
    ];
  }

  private resourceLimits({ uid }: SandboxIdentity): string[] {
    const { hostDiskMiB, hostMemoryMiB } = this.config;
    const fileBytes = Math.max(hostDiskMiB, hostMemoryMiB + fileSlackMiB) * 1024 * 1024;
    return [
      'prlimit',
      '--core=0',
      `--nofile=${maxOpenFiles}`,
      // What a guest can write at most: QEMU's write fails (EFBIG) where the overlay would grow beyond it.
      `--fsize=${fileBytes}`,
      // Counted for the user id, so it says something only where nobody else has it.
      ...(uid === undefined ? [] : [`--nproc=${maxProcesses}`]),
      '--',
    ];
  }
}

/** The shell enters the groups before anything of the sandbox runs, so nothing can be outside of them. */
function enterCgroups(cgroups: readonly string[]): string[] {
  if (cgroups.length === 0) return [];
  const script = 'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"';
  return ['/bin/sh', '-c', script, 'enter-cgroups', ...cgroups, '--'];
}

/** Directories of the system that are links into /usr on a merged system, and real ones on others. */
const systemDirectories = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/**
 * Arguments of bubblewrap.
 * @param ownUserNamespace for a server that is not root; the sandbox can then make no further user namespaces
 */
function namespaced(files: SandboxFiles, ownUserNamespace: boolean, accelerator: Accelerator): string[] {
  return [
    ...(ownUserNamespace ? ['--unshare-user', '--disable-userns'] : []),
    // A network namespace with nothing but its own loopback.
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
    // By itself bubblewrap makes the directories above a private file private too, and those would be root's.
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
    // Its own root is a memory file system: it must not be one more place to write to.
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
  const what = 'Sandboxes see the server’s files, processes and network';
  if (!(await findProgram('bwrap'))) {
    return { what: `${what}: bubblewrap is not installed.`, fix: 'sudo apt-get install bubblewrap' };
  }
  for (const program of programs) {
    const path = await findProgram(program);
    if (path !== undefined && !path.startsWith('/usr/') && !path.startsWith('/bin/')) {
      return {
        what: `${what}: ${program} is ${path}, and only programs below /usr can be let into them.`,
        fix: `Install ${program} below /usr or /usr/local.`,
      };
    }
  }
  // The very arguments of a sandbox, but for what it holds.
  const files = { readOnly: [], run: tmpdir(), overlaid: [] };
  const { exitCode, stderr } = await execa('bwrap', [...namespaced(files, !isRoot, 'tcg'), 'true'], {
    reject: false,
    stdin: 'ignore',
  });
  if (exitCode === 0) return undefined;
  const complaint = stderr.trim().split('\n').at(-1) ?? '';
  return {
    what: `${what}: bubblewrap cannot make namespaces here (${complaint}).`,
    fix: isRoot
      ? 'In a container: run it with --privileged, or with CAP_SYS_ADMIN and no seccomp filter on mount and unshare.'
      : 'Allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0, or start the server as root.',
  };
}
