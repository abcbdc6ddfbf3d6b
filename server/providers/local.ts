/** Runs runners as processes on this machine, each isolated as far as the machine allows (see isolation.ts). */
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

/** Node starts in 0.1 to 0.5 s; it took 4 s on a machine full of guests under TCG. */
const launchTimeoutMs = 30_000;
/** Space for what two hosts write first, and for the saved states of a lesson's steps, measured at 3 to 31 MB each. */
const leastFreeBytes = 256 * 1024 * 1024;
/** A runner ends its two machines in well under a second. After this time it is killed, and the machines die with it. */
const stopTimeoutMs = 10_000;
const pollMs = 25;
/** Enough for a stack trace or a few lines of JSON. */
const lastWordsBytes = 2000;
/** The key for root on the hosts. ssh refuses it unless it belongs to the user and nobody else can read it. */
const keyName = 'id_ed25519';

/** Directories from which a sandbox reads its pair's files. */
interface PairFiles {
  imageDir: string;
  directories: readonly string[];
}

interface Launch {
  done: Promise<void>;
  abort: AbortController;
}

export class LocalProvider implements SandboxProvider {
  readonly #config: Config;
  readonly #runnerProgram: string;
  readonly #isolation: Isolation;
  /** Sandboxes whose runner is starting: {@link list} must not take them for dead. */
  readonly #launching = new Map<string, Launch>();
  /** User ids of those sandboxes; no process or file shows them yet. */
  readonly #reservedUsers = new Set<number>();
  /** By template directory; templates never change. */
  readonly #pairFiles = new Map<string, Promise<PairFiles>>();

  /**
   * @param runnerProgram path of the runner's bundle, `<checkout>/dist/runner.js`
   */
  constructor(config: Config, runnerProgram: string, isolation: Isolation) {
    this.#config = config;
    this.#runnerProgram = runnerProgram;
    this.#isolation = isolation;
  }

  launch(spec: SandboxSpec, signal?: AbortSignal): Promise<void> {
    const running = this.#launching.get(spec.id);
    if (running) return running.done;
    const abort = new AbortController();
    const either = signal ? AbortSignal.any([signal, abort.signal]) : abort.signal;
    const done = this.#start(spec, either).finally(() => this.#launching.delete(spec.id));
    this.#launching.set(spec.id, { done, abort });
    return done;
  }

  async connect(sandboxId: string): Promise<Socket> {
    try {
      return await connectUntrusted(sandboxFiles(this.#directory(sandboxId)).socket);
    } catch (cause) {
      throw new LabError('lost', 'The pair is lost: its runner has ended.', {
        hint: 'Start a new pair.',
        cause,
      });
    }
  }

  async stop(sandboxId: string, reason: EndReason): Promise<void> {
    const launch = this.#launching.get(sandboxId);
    launch?.abort.abort();
    await launch?.done.catch(() => undefined);
    await this.#askToStop(sandboxId, reason);
    await this.#destroy(sandboxId);
  }

  async list(): Promise<SandboxList> {
    const running: SandboxSpec[] = [];
    const ended: EndedSandbox[] = [];
    for (const id of await listSandboxIds(this.#config.stateDir)) {
      if (this.#launching.has(id)) continue;
      const files = sandboxFiles(this.#directory(id));
      const spec = await readSandbox(this.#directory(id)).catch(() => undefined);
      const isOverDisk = (await diskUsage(files.run)) > this.#mostDiskBytes;
      if (spec && !isOverDisk && (await this.#answers(id))) {
        running.push(spec);
        continue;
      }
      const endText = await readTailUntrusted(files.ended, lastWordsBytes);
      const lastWords = isOverDisk
        ? 'The server killed it, because it wrote more to the disk than a pair can.'
        : (await readTailUntrusted(files.log, lastWordsBytes)).trim();
      ended.push({ id, reason: endReasonSchema.safeParse(endText).data, lastWords });
      await this.#destroy(id);
    }
    return { running, ended };
  }

  #directory(sandboxId: string): string {
    return sandboxDir(this.#config.stateDir, sandboxId);
  }

  /**
   * The most disk that two hosts and their saved states need, including a copy of their RAM. RLIMIT_FSIZE stops a guest that writes
   * more. A sandbox over this size therefore belongs to somebody who has escaped from a guest.
   */
  get #mostDiskBytes(): number {
    const { hostDiskMiB, hostMemoryMiB, savedStatesMiB } = this.#config;
    return (2 * (hostDiskMiB + hostMemoryMiB) + savedStatesMiB) * 1024 * 1024;
  }

  /** A pair that starts on a full disk would fail later, with errors that explain less. @throws LabError `disk-full` */
  async #requireDisk(): Promise<void> {
    if ((await availableBytes(this.#config.stateDir)) >= leastFreeBytes) return;
    throw new LabError('disk-full', 'The server cannot start another pair, because its disk is full.', {
      hint: 'Tell the operator of this server. Running pairs are not affected.',
    });
  }

  async #start(spec: SandboxSpec, signal: AbortSignal): Promise<void> {
    if (await this.#answers(spec.id)) return;
    const pair = await this.#filesOfPair(spec.templateDir);
    await this.#requireDisk();
    let uid: number | undefined;
    try {
      // Removes what an earlier sandbox with this id may have left.
      await this.#destroy(spec.id);
      uid = await this.#reserveUser();
      const command = await this.#prepare(spec, pair, uid);
      await this.#run(spec.id, command, signal);
    } catch (error) {
      await this.#destroy(spec.id);
      throw error;
    } finally {
      // From now on the owner of the sandbox's directory shows that the id is taken.
      if (uid !== undefined) this.#reservedUsers.delete(uid);
    }
  }

  /** Writes the files of the sandbox. @returns the command line that starts its runner */
  async #prepare(spec: SandboxSpec, pair: PairFiles, uid: number | undefined): Promise<string[]> {
    const directory = await writeSandbox(this.#config.stateDir, spec);
    const files = sandboxFiles(directory);
    const key = join(directory, keyName);
    const user = uid ?? process.getuid?.() ?? 0;
    // ssh refuses to run for a user id without a passwd entry.
    await writeFile(files.passwd, `lab:x:${user}:${uid ?? process.getgid?.() ?? 0}::/tmp:/bin/sh\n`);
    const overlaid: [string, string][] = [[files.passwd, '/etc/passwd']];
    if (uid !== undefined) {
      await chown(files.run, uid, uid);
      await copyFile(join(pair.imageDir, keyName), key);
      await chown(key, uid, uid);
      await chmod(key, 0o600);
      overlaid.push([key, join(pair.imageDir, keyName)]);
      // The directory's mode keeps other users of this machine out.
      for (const path of [files.spec, files.passwd]) await chmod(path, 0o644);
      await Promise.all(pair.directories.map(makeReadable));
    }
    const cgroups = await this.#isolation.createCgroups(cgroupName(spec.id), files.run);
    await writeFile(files.cgroups, JSON.stringify(cgroups));

    const dist = dirname(this.#runnerProgram);
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
    return this.#isolation.confine(
      [node, this.#runnerProgram, directory],
      { readOnly, run: files.run, overlaid },
      { uid, cgroups },
      spec.accelerator,
    );
  }

  /** Starts the runner and waits until it accepts connections. */
  async #run(sandboxId: string, command: readonly string[], signal: AbortSignal): Promise<void> {
    const files = sandboxFiles(this.#directory(sandboxId));
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
        // The system's message names paths of this machine: only the log may have it.
        failure = 'its program could not be run';
        cause = error;
      });
      child.once(
        'exit',
        (code) => (failure = code === null ? 'it was killed' : `it ended with exit code ${code}`),
      );
    } finally {
      await log.close();
    }
    const deadline = Date.now() + launchTimeoutMs;
    while (!(await this.#answers(sandboxId))) {
      requireWanted(signal);
      if (failure !== undefined || Date.now() > deadline) {
        throw new LabError(
          'lost',
          `The pair’s runner did not start: ${failure ?? `it did not answer within ${launchTimeoutMs / 1000} s`}.`,
          {
            hint: 'Try again. If it fails again, look at the server’s log.',
            cause: new Error((await readTailUntrusted(files.log, lastWordsBytes)).trim(), { cause }),
          },
        );
      }
      await sleep(pollMs);
    }
    requireWanted(signal);
  }

  /** Asks the runner to notify its pages and end, and waits for that up to {@link stopTimeoutMs}. */
  async #askToStop(sandboxId: string, reason: EndReason): Promise<void> {
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
      // The runner is gone or does not answer; the caller kills what is left.
      return;
    }
    while ((await this.#isAlive(sandboxId)) && Date.now() < deadline) await sleep(pollMs);
  }

  /** Kills every process in the sandbox and removes it. */
  async #destroy(sandboxId: string): Promise<void> {
    const directory = this.#directory(sandboxId);
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
          // The process has ended meanwhile.
        }
      }
      await sleep(pollMs);
    }
    await removeCgroups(cgroups);
    await removeSandbox(directory);
  }

  async #isAlive(sandboxId: string): Promise<boolean> {
    const directory = this.#directory(sandboxId);
    const cgroups = await readCgroups(directory);
    if (cgroups.length > 0) return !(await isCgroupEmpty(cgroups));
    return (await processesNaming(directory)).length > 0;
  }

  async #answers(sandboxId: string): Promise<boolean> {
    try {
      (await this.connect(sandboxId)).destroy();
      return true;
    } catch {
      return false;
    }
  }

  /** A user id that nobody on this machine has, including another lab's sandboxes; undefined if sandboxes cannot have their own. */
  async #reserveUser(): Promise<number | undefined> {
    if (!this.#isolation.report.ownUser) return undefined;
    const owners = async (paths: string[]) =>
      (await Promise.all(paths.map((path) => lstat(path).catch(() => undefined)))).map((stats) => stats?.uid);
    const ids = await listSandboxIds(this.#config.stateDir);
    const taken = new Set([
      ...(await owners((await processIds()).map((pid) => `/proc/${pid}`))),
      ...(await owners(ids.map((id) => sandboxFiles(this.#directory(id)).run))),
    ]);
    let uid = this.#config.sessionUidBase;
    while (taken.has(uid) || this.#reservedUsers.has(uid)) uid += 1;
    this.#reservedUsers.add(uid);
    return uid;
  }

  /** @throws LabError `template-missing` */
  #filesOfPair(templateDir: string): Promise<PairFiles> {
    let files = this.#pairFiles.get(templateDir);
    if (!files) {
      files = findPairFiles(templateDir);
      this.#pairFiles.set(templateDir, files);
      files.catch(() => this.#pairFiles.delete(templateDir));
    }
    return files;
  }
}

function requireWanted(signal: AbortSignal): void {
  if (signal.aborted) throw new LabError('cancelled', 'The launch of a pair was cancelled.');
}

const backingChainSchema = z.array(z.object({ filename: z.string() }));

/** Finds a template's directory and the directories of its disks' backing files. @throws LabError `template-missing` */
async function findPairFiles(templateDir: string): Promise<PairFiles> {
  try {
    const { imageDir } = await readTemplate(templateDir);
    const { disk } = hostFiles(templateDir, 'source');
    const { stdout } = await execa('qemu-img', ['info', '-U', '--backing-chain', '--output=json', disk]);
    const disks = backingChainSchema.parse(JSON.parse(stdout)).map(({ filename }) => dirname(filename));
    return { imageDir, directories: [...new Set([templateDir, imageDir, ...disks])] };
  } catch (cause) {
    throw new LabError('template-missing', `The pair template ${templateDir} is missing or incomplete.`, {
      hint: 'Make it again: npm run lab -- setup',
      cause,
    });
  }
}

/** QEMU and mmdebstrap make some files readable only for their user. The only secret in an artifact is the key. */
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
 * Finds processes whose command line has the sandbox's directory as a word: the runner and bubblewrap's two. All other processes in
 * the sandbox die with one of these.
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
