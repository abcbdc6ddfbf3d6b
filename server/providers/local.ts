/** Runners as processes on this machine, each confined as far as the machine allows (see isolation.ts). */
import { spawn } from 'node:child_process';
import { request, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { chmod, chown, copyFile, lstat, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { z } from 'zod';
import type { Config } from '../config';
import { hostFiles } from '../host/qemu';
import { LabError } from '../protocol/errors';
import { endReasonSchema, type EndReason } from '../protocol/session';
import {
  listSandboxIds,
  readSandbox,
  removeSandbox,
  sandboxDir,
  sandboxFiles,
  writeSandbox,
  type SandboxSpec,
} from '../store/sandboxes';
import { readTemplate } from '../template/template';
import { availableBytes } from '../store/artifacts';
import { cgroupName, isCgroupEmpty, killCgroups, removeCgroups } from './cgroup';
import type { Isolation } from './isolation';
import type { EndedSandbox, SandboxList, SandboxProvider } from './provider';
import { connectUntrusted, diskUsage, readTailUntrusted } from './untrusted';

/** Node starts in 0.1 to 0.5 s; on a machine full of guests under TCG it took 4 s. */
const launchTimeoutMs = 30_000;
/** Room for what two hosts write first, and for the states of a lesson's steps, measured as 3 to 31 MB each. */
const leastFreeBytes = 256 * 1024 * 1024;
/** A runner ends its two machines in well under a second; after this it is killed, and they die with it. */
const stopTimeoutMs = 10_000;
const pollMs = 25;
/** Enough for a stack trace or a few lines of JSON. */
const lastWordsBytes = 2000;
/** The key of the hosts' root; ssh refuses it unless it is the user's own and nobody else's. */
const keyName = 'id_ed25519';

/** Directories that a sandbox reads its pair from. */
interface PairFiles {
  imageDir: string;
  directories: readonly string[];
}

interface Launch {
  done: Promise<void>;
  abort: AbortController;
}

export class LocalProvider implements SandboxProvider {
  /** Sandboxes whose runner is being started: not there yet, and not left over either. */
  private readonly launching = new Map<string, Launch>();
  /** User ids given to those, which no process or file shows yet. */
  private readonly reservedUsers = new Set<number>();
  /** By template directory; templates never change. */
  private readonly pairFiles = new Map<string, Promise<PairFiles>>();

  /**
   * @param runnerProgram path of the runner's bundle, `<checkout>/dist/runner.js`
   */
  constructor(
    private readonly config: Config,
    private readonly runnerProgram: string,
    private readonly isolation: Isolation,
  ) {}

  launch(spec: SandboxSpec, signal?: AbortSignal): Promise<void> {
    const running = this.launching.get(spec.id);
    if (running) return running.done;
    const abort = new AbortController();
    const either = signal ? AbortSignal.any([signal, abort.signal]) : abort.signal;
    const done = this.start(spec, either).finally(() => this.launching.delete(spec.id));
    this.launching.set(spec.id, { done, abort });
    return done;
  }

  async connect(sandboxId: string): Promise<Socket> {
    try {
      return await connectUntrusted(sandboxFiles(this.directory(sandboxId)).socket);
    } catch (cause) {
      throw new LabError('lost', 'The pair is gone: its runner has ended.', {
        hint: 'Start a new pair.',
        cause,
      });
    }
  }

  async stop(sandboxId: string, reason: EndReason): Promise<void> {
    const launch = this.launching.get(sandboxId);
    launch?.abort.abort();
    await launch?.done.catch(() => undefined);
    await this.askToStop(sandboxId, reason);
    await this.destroy(sandboxId);
  }

  async list(): Promise<SandboxList> {
    const running: SandboxSpec[] = [];
    const ended: EndedSandbox[] = [];
    for (const id of await listSandboxIds(this.config.stateDir)) {
      if (this.launching.has(id)) continue;
      const files = sandboxFiles(this.directory(id));
      const spec = await readSandbox(this.directory(id)).catch(() => undefined);
      const isOverDisk = (await diskUsage(files.run)) > this.mostDiskBytes;
      if (spec && !isOverDisk && (await this.answers(id))) {
        running.push(spec);
        continue;
      }
      const said = await readTailUntrusted(files.ended, lastWordsBytes);
      const lastWords = isOverDisk
        ? 'It wrote more to the disk than a pair can, and was killed.'
        : (await readTailUntrusted(files.log, lastWordsBytes)).trim();
      ended.push({ id, reason: endReasonSchema.safeParse(said).data, lastWords });
      await this.destroy(id);
    }
    return { running, ended };
  }

  private directory(sandboxId: string): string {
    return sandboxDir(this.config.stateDir, sandboxId);
  }

  /**
   * What two hosts and their saved states may come to, with a copy of their RAM. One that writes more is not a guest, which
   * RLIMIT_FSIZE stops, but somebody who has broken out of one.
   */
  private get mostDiskBytes(): number {
    const { hostDiskMiB, hostMemoryMiB, savedStatesMiB } = this.config;
    return (2 * (hostDiskMiB + hostMemoryMiB) + savedStatesMiB) * 1024 * 1024;
  }

  /** A pair that starts on a full disk fails later, in ways that tell its learner less. @throws LabError `disk-full` */
  private async requireDisk(): Promise<void> {
    if ((await availableBytes(this.config.stateDir)) >= leastFreeBytes) return;
    throw new LabError(
      'disk-full',
      'The disk of this server is full, so there is no room for another pair.',
      {
        hint: 'Tell whoever runs this server; pairs that run already go on.',
      },
    );
  }

  private async start(spec: SandboxSpec, signal: AbortSignal): Promise<void> {
    if (await this.answers(spec.id)) return;
    const pair = await this.filesOfPair(spec.templateDir);
    await this.requireDisk();
    let uid: number | undefined;
    try {
      // What an earlier one with this id may have left.
      await this.destroy(spec.id);
      uid = await this.reserveUser();
      const command = await this.prepare(spec, pair, uid);
      await this.run(spec.id, command, signal);
    } catch (error) {
      await this.destroy(spec.id);
      throw error;
    } finally {
      // From now on the owner of its directory says whose the id is.
      if (uid !== undefined) this.reservedUsers.delete(uid);
    }
  }

  /** Writes all that the sandbox is made of. @returns the command line that starts its runner */
  private async prepare(spec: SandboxSpec, pair: PairFiles, uid: number | undefined): Promise<string[]> {
    const directory = await writeSandbox(this.config.stateDir, spec);
    const files = sandboxFiles(directory);
    const key = join(directory, keyName);
    const user = uid ?? process.getuid?.() ?? 0;
    // ssh does nothing for a user whom the system does not know.
    await writeFile(files.passwd, `lab:x:${user}:${uid ?? process.getgid?.() ?? 0}::/tmp:/bin/sh\n`);
    const overlaid: [string, string][] = [[files.passwd, '/etc/passwd']];
    if (uid !== undefined) {
      await chown(files.run, uid, uid);
      await copyFile(join(pair.imageDir, keyName), key);
      await chown(key, uid, uid);
      await chmod(key, 0o600);
      overlaid.push([key, join(pair.imageDir, keyName)]);
      // Whoever else is on this machine is kept out by the directory's own mode.
      for (const path of [files.spec, files.passwd]) await chmod(path, 0o644);
      await Promise.all(pair.directories.map(makeReadable));
    }
    const cgroups = await this.isolation.createCgroups(cgroupName(spec.id), files.run);
    await writeFile(files.cgroups, JSON.stringify(cgroups));

    const dist = dirname(this.runnerProgram);
    const checkout = dirname(dist);
    const node = process.execPath;
    const readOnly = [
      files.spec,
      dist,
      join(checkout, 'node_modules'),
      join(checkout, 'package.json'),
      spec.lessonsDir,
      ...pair.directories,
      ...(node.startsWith('/usr/') ? [] : [node]),
    ];
    return this.isolation.confine(
      [node, this.runnerProgram, directory],
      { readOnly, run: files.run, overlaid },
      { uid, cgroups },
      spec.accelerator,
    );
  }

  /** Starts the runner and waits until it can be connected to. */
  private async run(sandboxId: string, command: readonly string[], signal: AbortSignal): Promise<void> {
    const files = sandboxFiles(this.directory(sandboxId));
    const log = await open(files.log, 'ax', 0o600);
    let failure: string | undefined;
    let cause: unknown;
    try {
      const owner = await stat(files.run);
      await log.chown(owner.uid, owner.gid);
      requireWanted(signal);
      const [program = '', ...parameters] = command;
      // Detached: the runner outlives the gateway.
      const child = spawn(program, parameters, {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      });
      child.unref();
      child.once('error', (error) => {
        // What the system says of it names paths of this machine, and is for the log.
        failure = 'its program could not be run';
        cause = error;
      });
      child.once('exit', (code) => (failure = `it ended with code ${code ?? 'none'}`));
    } finally {
      await log.close();
    }
    const deadline = Date.now() + launchTimeoutMs;
    while (!(await this.answers(sandboxId))) {
      requireWanted(signal);
      if (failure !== undefined || Date.now() > deadline) {
        throw new LabError('lost', `The pair’s runner did not start: ${failure ?? 'no answer'}.`, {
          hint: 'Try again; if it stays so, look at the server’s log.',
          cause: new Error((await readTailUntrusted(files.log, lastWordsBytes)).trim(), { cause }),
        });
      }
      await sleep(pollMs);
    }
    requireWanted(signal);
  }

  /** Lets the runner tell its pages, and waits until it is gone, or for as long as it may take. */
  private async askToStop(sandboxId: string, reason: EndReason): Promise<void> {
    const deadline = Date.now() + stopTimeoutMs;
    try {
      const stream = await this.connect(sandboxId);
      const sent = request({
        createConnection: () => stream,
        path: '/stop',
        method: 'POST',
        signal: AbortSignal.timeout(stopTimeoutMs),
      });
      sent.end(JSON.stringify({ reason }));
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      response.resume();
    } catch {
      // It is gone, or does not answer; what is left of it is killed.
      return;
    }
    while ((await this.isAlive(sandboxId)) && Date.now() < deadline) await sleep(pollMs);
  }

  /** Kills whatever runs in the sandbox, and removes it. */
  private async destroy(sandboxId: string): Promise<void> {
    const directory = this.directory(sandboxId);
    const cgroups = await readCgroups(directory);
    await killCgroups(cgroups);
    const deadline = Date.now() + stopTimeoutMs;
    for (;;) {
      const pids = await processesNaming(directory);
      if (pids.length === 0 || Date.now() > deadline) break;
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It has ended meanwhile.
        }
      }
      await sleep(pollMs);
    }
    await removeCgroups(cgroups);
    await removeSandbox(directory);
  }

  private async isAlive(sandboxId: string): Promise<boolean> {
    const directory = this.directory(sandboxId);
    const cgroups = await readCgroups(directory);
    if (cgroups.length > 0) return !(await isCgroupEmpty(cgroups));
    return (await processesNaming(directory)).length > 0;
  }

  private async answers(sandboxId: string): Promise<boolean> {
    try {
      (await this.connect(sandboxId)).destroy();
      return true;
    } catch {
      return false;
    }
  }

  /** A user id that nobody on this machine has, another lab's sandboxes included; undefined where each cannot have its own. */
  private async reserveUser(): Promise<number | undefined> {
    if (!this.isolation.report.ownUser) return undefined;
    const owners = async (paths: string[]) =>
      (await Promise.all(paths.map((path) => lstat(path).catch(() => undefined)))).map((stats) => stats?.uid);
    const ids = await listSandboxIds(this.config.stateDir);
    const taken = new Set([
      ...(await owners((await processIds()).map((pid) => `/proc/${pid}`))),
      ...(await owners(ids.map((id) => sandboxFiles(this.directory(id)).run))),
    ]);
    let uid = this.config.sessionUidBase;
    while (taken.has(uid) || this.reservedUsers.has(uid)) uid += 1;
    this.reservedUsers.add(uid);
    return uid;
  }

  /** @throws LabError `template-missing` */
  private filesOfPair(templateDir: string): Promise<PairFiles> {
    let files = this.pairFiles.get(templateDir);
    if (!files) {
      files = findPairFiles(templateDir);
      this.pairFiles.set(templateDir, files);
      files.catch(() => this.pairFiles.delete(templateDir));
    }
    return files;
  }
}

function requireWanted(signal: AbortSignal): void {
  if (signal.aborted) throw new LabError('cancelled', 'The launch of a pair was cancelled.');
}

const backingChainSchema = z.array(z.object({ filename: z.string() }));

/** A template's own directory and those of the disks that its disks are over. @throws LabError `template-missing` */
async function findPairFiles(templateDir: string): Promise<PairFiles> {
  try {
    const { imageDir } = await readTemplate(templateDir);
    const { disk } = hostFiles(templateDir, 'source');
    const { stdout } = await execa('qemu-img', ['info', '-U', '--backing-chain', '--output=json', disk]);
    const disks = backingChainSchema.parse(JSON.parse(stdout)).map(({ filename }) => dirname(filename));
    return { imageDir, directories: [...new Set([templateDir, imageDir, ...disks])] };
  } catch (cause) {
    throw new LabError('template-missing', `The pair template ${templateDir} is not there or not whole.`, {
      hint: 'npm run lab -- setup makes it anew.',
      cause,
    });
  }
}

/** QEMU and mmdebstrap make some files for their user alone. Of an artifact only the key is a secret. */
async function makeReadable(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const { mode } = await stat(path);
    if (name !== keyName && (mode & 0o004) === 0) await chmod(path, (mode & 0o777) | 0o444);
  }
}

async function readCgroups(directory: string): Promise<string[]> {
  try {
    const text = await readFile(sandboxFiles(directory).cgroups, 'utf8');
    return z.array(z.string()).parse(JSON.parse(text));
  } catch {
    return [];
  }
}

const processIds = async (): Promise<number[]> =>
  (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);

/**
 * Processes that have the sandbox's directory as a word of their command line: the runner and bubblewrap's two. All
 * others in the sandbox die with one of these.
 */
async function processesNaming(directory: string): Promise<number[]> {
  const { run } = sandboxFiles(directory);
  const found: number[] = [];
  for (const pid of await processIds()) {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const isLab = words.includes(directory) || (words[0] === 'bwrap' && words.includes(run));
    if (isLab && pid !== process.pid) found.push(pid);
  }
  return found;
}
