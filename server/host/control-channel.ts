/**
 * One OpenSSH connection to a sandbox host, over the host's virtio-serial port. The connection is multiplexed: each further
 * terminal or check opens a channel and needs no key exchange. It uses no network.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { LabError } from '../protocol/errors';
import type { HostName } from '../protocol/hosts';
import type { Credentials } from './identity';
import { hostFiles } from './qemu';

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** The result of one of several scripts (see {@link ControlChannel.runAll}). */
export type ScriptResult = Omit<CommandResult, 'stderr'>;

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Most output that is kept of one command. A guest that prints more is cut off, and its check fails. */
const maxCommandOutputBytes = 256 * 1024;

/** The socket on the host at which dtach accepts clients of this terminal. */
const terminalSocket = (terminal: string): string => `/run/terminal-${terminal}`;

/** Runs dtach without key bindings (-E, -z). When a client attaches, dtach sends Ctrl-L, and the program redraws itself. */
const shellUnderDtach = (mode: '-A' | '-n', terminal: string): string =>
  `dtach ${mode} ${terminalSocket(terminal)} -E -z -r ctrl_l bash -l`;

/** A script that starts the shell of the terminal named after the host, before anyone attaches to it. */
export const startShell = `TERM=xterm-256color ${shellUnderDtach('-n', '"$HOSTNAME"')}`;

export class ControlChannel {
  readonly #directory: string;
  readonly #host: HostName;
  #master: ChildProcess | undefined;
  #opening: Promise<void> | undefined;
  /** Counts disconnects: a connection attempt that began before the latest one gives up. */
  #generation = 0;
  #closed = false;

  /**
   * @param directory the machine's directory (see hostFiles)
   * @param credentials for the next connection; they may change while the host runs
   */
  constructor(
    directory: string,
    host: HostName,
    public credentials: Credentials,
  ) {
    this.#directory = directory;
    this.#host = host;
  }

  /** Connects unless connected, and waits up to `timeoutMs` for the guest's sshd. @throws LabError `host-unreachable` */
  open(timeoutMs: number): Promise<void> {
    if (this.#master?.exitCode === null && existsSync(hostFiles(this.#directory, this.#host).control)) {
      return Promise.resolve();
    }
    if (!this.#opening) {
      const opening = this.#connect(timeoutMs).finally(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
      this.#opening = opening;
    }
    return this.#opening;
  }

  /**
   * Returns the command and arguments that show a shell of the host in the caller's terminal.
   *
   * The shell is a login shell under dtach. It starts with the first attach and lives until it exits, so it outlives the SSH
   * connection. It must: no SSH connection survives when the host returns to a saved state. Ctrl-L makes the program redraw
   * itself, because bash ignores a window-size change when the size stays the same.
   * @param terminal letters, digits and dashes
   */
  attachCommand(terminal: string): [command: string, ...parameters: string[]] {
    return [
      'ssh',
      ...this.#options('share'),
      '-tt',
      `root@${this.#host}`,
      `exec ${shellUnderDtach('-A', terminal)}`,
    ];
  }

  /**
   * Ends the shell of a terminal on the host, as closing its window would: the shell and its programs get SIGHUP.
   * @throws LabError as {@link run} does
   */
  async endShell(terminal: string, timeoutMs: number): Promise<void> {
    // dtach's own process holds the shell's terminal. The pattern's blank ends the name: longer names may begin with it.
    await this.run(
      `pkill -f '^dtach -[An] ${terminalSocket(terminal)} '; rm -f ${terminalSocket(terminal)}`,
      {
        timeoutMs,
      },
    );
  }

  /**
   * Runs a shell script on the host as root, outside of any terminal.
   * @throws LabError `host-unreachable` when ssh itself fails or the time is up, `cancelled` when the signal fires
   */
  async run(script: string, options: { timeoutMs: number; signal?: AbortSignal }): Promise<CommandResult> {
    // `bash -s` would start a second bash after the login shell and read the script byte by byte: 100 ms instead of 72 under TCG.
    const running = execa('ssh', [...this.#options('share'), '-T', `root@${this.#host}`, 'eval "$(cat)"'], {
      input: script,
      reject: false,
      timeout: options.timeoutMs,
      maxBuffer: maxCommandOutputBytes,
      ...(options.signal ? { cancelSignal: options.signal } : {}),
    });
    // The multiplexing ssh received these pipes too, and keeps them open while the command runs.
    running.once('exit', () => {
      if (!running.killed) return;
      running.stdout.destroy();
      running.stderr.destroy();
    });
    const result = await running;
    if (result.isCanceled) throw new LabError('cancelled', `A command on ${this.#host} was cancelled.`);
    if (result.timedOut) {
      throw new LabError(
        'host-unreachable',
        `A command on ${this.#host} did not finish in ${options.timeoutMs} ms.`,
      );
    }
    // 255 is ssh's own exit code for a failed connection (ssh(1)).
    if (result.exitCode === undefined || result.exitCode === 255) {
      throw new LabError('host-unreachable', `${this.#host} does not answer: ${result.stderr}`, {
        cause: result,
      });
    }
    return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
  }

  /**
   * Runs shell scripts one after the other in a single {@link run}, each in a subshell. A `run` costs 72 ms under TCG, a subshell
   * next to nothing.
   * @returns the result of each script, in the order of `scripts`
   * @throws LabError as {@link run} does, and when the host did not answer every script
   */
  async runAll(
    scripts: readonly string[],
    options: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<ScriptResult[]> {
    // No script prints this by accident. A guest that wants to fake its checks can do so anyway.
    const end = `end-${randomUUID()}`;
    const batch = scripts.map((script) => `(eval ${quoted(script)})\nprintf '\\n%s %s\\n' ${end} $?`);
    const { stdout, stderr } = await this.run(batch.join('\n'), options);
    const pieces = `${stdout}\n`.split(new RegExp(`\n${end} (\\d+)\n`));
    const results = scripts.map((_script, index) => ({
      stdout: pieces[2 * index] ?? '',
      exitCode: Number(pieces[2 * index + 1]),
    }));
    if (results.some(({ exitCode }) => Number.isNaN(exitCode))) {
      throw new LabError(
        'host-unreachable',
        `${this.#host} stopped answering before all scripts had run: ${stderr}`,
      );
    }
    return results;
  }

  /**
   * Sets the host's clock, which still shows the moment at which the host's state was saved.
   * @param more a script to run afterwards in the same execution, which saves a process or two
   * @throws LabError `host-unreachable`
   */
  async wake(more = ''): Promise<void> {
    const seconds = (Date.now() / 1000).toFixed(3);
    const result = await this.run(`date --set=@${seconds} >/dev/null || exit\n${more}`, {
      timeoutMs: 60_000,
    });
    if (result.exitCode !== 0) {
      throw new LabError(
        'host-unreachable',
        `Cannot set the clock of ${this.#host} and finish waking it: ${result.stderr}`,
      );
    }
  }

  /** Drops the connection, for example because the host is replaced; {@link open} makes a new one. */
  disconnect(): void {
    this.#generation += 1;
    this.#opening = undefined;
    this.#master?.kill('SIGKILL');
    // A killed master leaves its socket behind, which looks like a connection.
    rmSync(hostFiles(this.#directory, this.#host).control, { force: true });
  }

  close(): void {
    this.#closed = true;
    this.#master?.kill('SIGKILL');
  }

  async #connect(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    const generation = this.#generation;
    const { control } = hostFiles(this.#directory, this.#host);
    while (!this.#closed && generation === this.#generation) {
      await rm(control, { force: true });
      let errorOutput = '';
      const master = spawn('ssh', [...this.#options('connect'), '-M', '-N', `root@${this.#host}`], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      this.#master = master;
      master.stderr.on('data', (data: Buffer) => {
        errorOutput = (errorOutput + data.toString()).slice(-500);
      });
      master.on('error', (error) => {
        errorOutput = error.message;
      });
      // ssh makes the control socket once it is authenticated.
      while (master.exitCode === null && master.signalCode === null && master.pid !== undefined) {
        if (existsSync(control)) return;
        if (Date.now() > deadline) break;
        await sleep(20);
      }
      master.kill('SIGKILL');
      if (Date.now() > deadline) {
        throw new LabError(
          'host-unreachable',
          `Cannot log in to ${this.#host} within ${timeoutMs} ms. ${errorOutput}`,
        );
      }
      await sleep(200);
    }
    throw new LabError('cancelled', `The channel to ${this.#host} was closed.`);
  }

  /**
   * @param how `connect` lets ssh open a connection; `share` only lets it use one that exists. An ssh that opened its own while the
   * host was being replaced once held the new host's only port, and nothing else could log in.
   */
  #options(how: 'connect' | 'share'): string[] {
    const { control, ssh } = hostFiles(this.#directory, this.#host);
    const settings = {
      ControlPath: control,
      ProxyCommand: how === 'connect' ? `socat - UNIX-CONNECT:${ssh}` : 'false',
      IdentityFile: this.credentials.key,
      IdentitiesOnly: 'yes',
      UserKnownHostsFile: this.credentials.knownHosts,
      GlobalKnownHostsFile: '/dev/null',
      StrictHostKeyChecking: 'yes',
      UpdateHostKeys: 'no',
      HostKeyAlgorithms: 'ssh-ed25519',
      // The post-quantum default costs a guest under TCG about a second, and nobody can eavesdrop on a virtio port.
      KexAlgorithms: 'curve25519-sha256',
      PreferredAuthentications: 'publickey',
      BatchMode: 'yes',
      LogLevel: 'ERROR',
      EscapeChar: 'none',
    };
    return ['-F', 'none', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
  }
}
