/**
 * The way into a sandbox host: one OpenSSH connection over the host's virtio-serial port, multiplexed, so that each
 * further terminal or check costs one channel and no key exchange. No network is involved.
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

/** What became of one of several scripts. */
export type ScriptResult = Omit<CommandResult, 'stderr'>;

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Output of a check that is kept; a guest that prints more is cut off and the check fails. */
const maxCommandOutputBytes = 256 * 1024;

/** Where dtach listens on the host for those who watch this terminal. */
const terminalSocket = (terminal: string): string => `/run/terminal-${terminal}`;

/** dtach without keys of its own; with Ctrl-L it makes a program draw itself. */
const shellUnderDtach = (mode: '-A' | '-n', terminal: string): string =>
  `dtach ${mode} ${terminalSocket(terminal)} -E -z -r ctrl_l bash -l`;

/** Starts, on a host, the shell of the terminal that has the host's name, before anyone attaches to it. */
export const startShell = `TERM=xterm-256color ${shellUnderDtach('-n', '"$HOSTNAME"')}`;

export class ControlChannel {
  private master: ChildProcess | undefined;
  private opening: Promise<void> | undefined;
  /** Counts disconnections: who still connects from before one gives up. */
  private generation = 0;
  private closed = false;

  /**
   * @param directory the machine's directory (see hostFiles)
   * @param credentials for the next connection; the host's may change while it runs
   */
  constructor(
    private readonly directory: string,
    private readonly host: HostName,
    public credentials: Credentials,
  ) {}

  /** Connects unless connected. Waits for the guest's sshd up to `timeoutMs`. @throws LabError `host-unreachable` */
  open(timeoutMs: number): Promise<void> {
    if (this.master?.exitCode === null && existsSync(hostFiles(this.directory, this.host).control)) {
      return Promise.resolve();
    }
    if (!this.opening) {
      const opening = this.connect(timeoutMs).finally(() => {
        if (this.opening === opening) this.opening = undefined;
      });
      this.opening = opening;
    }
    return this.opening;
  }

  /**
   * Command and arguments that show a shell of the host in the caller's terminal. The shell is a login shell under dtach,
   * which starts with the first attach and lives until it exits: it outlives the SSH connection, as it must when the host goes
   * back to a saved state, of which no SSH connection survives. Its program is told to draw itself again by Ctrl-L: bash
   * ignores a window's change of size when the size is the same.
   * @param terminal letters, digits and dashes
   */
  attachCommand(terminal: string): [command: string, ...parameters: string[]] {
    return [
      'ssh',
      ...this.options('share'),
      '-tt',
      `root@${this.host}`,
      `exec ${shellUnderDtach('-A', terminal)}`,
    ];
  }

  /**
   * Ends the shell of a terminal on the host, as closing its window would: the shell and what runs in it are hung up on.
   * @throws LabError as {@link run} does
   */
  async endShell(terminal: string, timeoutMs: number): Promise<void> {
    // dtach's own process holds the shell's terminal. The pattern's blank ends the name: others may begin like it.
    await this.run(
      `pkill -f '^dtach -[An] ${terminalSocket(terminal)} '; rm -f ${terminalSocket(terminal)}`,
      {
        timeoutMs,
      },
    );
  }

  /**
   * Runs a shell script on the host as root, outside of any terminal.
   * @throws LabError `host-unreachable` when ssh itself failed or the time was up, `cancelled` when the signal fired
   */
  async run(script: string, options: { timeoutMs: number; signal?: AbortSignal }): Promise<CommandResult> {
    // Not `bash -s`, which is a second bash after the login shell and reads a script byte by byte: 100 ms instead of 72 under TCG.
    const running = execa('ssh', [...this.options('share'), '-T', `root@${this.host}`, 'eval "$(cat)"'], {
      input: script,
      reject: false,
      timeout: options.timeoutMs,
      maxBuffer: maxCommandOutputBytes,
      ...(options.signal ? { cancelSignal: options.signal } : {}),
    });
    // The connection's own ssh was given these pipes too, and has them open for as long as the command goes on.
    running.once('exit', () => {
      if (!running.killed) return;
      running.stdout.destroy();
      running.stderr.destroy();
    });
    const result = await running;
    if (result.isCanceled) throw new LabError('cancelled', `A command on ${this.host} was cancelled.`);
    if (result.timedOut) {
      throw new LabError('host-unreachable', `A command on ${this.host} took over ${options.timeoutMs} ms.`);
    }
    // 255 is ssh's own exit code for a failed connection (ssh(1)).
    if (result.exitCode === undefined || result.exitCode === 255) {
      throw new LabError('host-unreachable', `${this.host} does not answer: ${result.stderr}`, {
        cause: result,
      });
    }
    return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
  }

  /**
   * Runs shell scripts one after the other, each as {@link run} does, but all in one execution: each of those costs 72 ms under
   * TCG, and a subshell next to nothing.
   * @returns what became of each, in their order
   * @throws LabError as {@link run} does, also when the host's answer is not one on these scripts
   */
  async runAll(
    scripts: readonly string[],
    options: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<ScriptResult[]> {
    // No script can print it by accident; a guest that wants to lie about its checks can do that anyway.
    const end = `end-${randomUUID()}`;
    const batch = scripts.map((script) => `(eval ${quoted(script)})\nprintf '\\n%s %s\\n' ${end} $?`);
    const { stdout, stderr } = await this.run(batch.join('\n'), options);
    const pieces = `${stdout}\n`.split(new RegExp(`\n${end} (\\d+)\n`));
    const results = scripts.map((_script, index) => ({
      stdout: pieces[2 * index] ?? '',
      exitCode: Number(pieces[2 * index + 1]),
    }));
    if (results.some(({ exitCode }) => Number.isNaN(exitCode))) {
      throw new LabError('host-unreachable', `${this.host} broke off: ${stderr}`);
    }
    return results;
  }

  /**
   * Sets the host's clock, which is that of the moment in which its state was saved.
   * @param more a script to run after that, in the same execution: each costs a process or two
   * @throws LabError `host-unreachable`
   */
  async wake(more = ''): Promise<void> {
    const seconds = (Date.now() / 1000).toFixed(3);
    const result = await this.run(`date --set=@${seconds} >/dev/null || exit\n${more}`, {
      timeoutMs: 60_000,
    });
    if (result.exitCode !== 0) {
      throw new LabError('host-unreachable', `${this.host} did not wake well: ${result.stderr}`);
    }
  }

  /** Drops the connection, as when the host is replaced; {@link open} makes a new one. */
  disconnect(): void {
    this.generation += 1;
    this.opening = undefined;
    this.master?.kill('SIGKILL');
    // A master that was killed leaves its socket, which looks like a connection.
    rmSync(hostFiles(this.directory, this.host).control, { force: true });
  }

  close(): void {
    this.closed = true;
    this.master?.kill('SIGKILL');
  }

  private async connect(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    const { generation } = this;
    const { control } = hostFiles(this.directory, this.host);
    while (!this.closed && generation === this.generation) {
      await rm(control, { force: true });
      let complaint = '';
      const master = spawn('ssh', [...this.options('connect'), '-M', '-N', `root@${this.host}`], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      this.master = master;
      master.stderr.on('data', (data: Buffer) => {
        complaint = (complaint + data.toString()).slice(-500);
      });
      master.on('error', (error) => {
        complaint = error.message;
      });
      // ssh makes the control socket once it is authenticated.
      while (master.exitCode === null && master.signalCode === null && master.pid !== undefined) {
        if (existsSync(control)) return;
        if (Date.now() > deadline) break;
        await sleep(20);
      }
      master.kill('SIGKILL');
      if (Date.now() > deadline) {
        throw new LabError('host-unreachable', `${this.host} gave no login in ${timeoutMs} ms. ${complaint}`);
      }
      await sleep(200);
    }
    throw new LabError('cancelled', `The channel to ${this.host} was closed.`);
  }

  /**
   * @param how ssh connects by itself when it finds no connection to share. One that began while the host was being replaced
   * then held the new host's only port, and nobody else came in: who shares must not connect.
   */
  private options(how: 'connect' | 'share'): string[] {
    const { control, ssh } = hostFiles(this.directory, this.host);
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
      // The post-quantum default costs a guest under TCG about a second, and nobody listens on a virtio port.
      KexAlgorithms: 'curve25519-sha256',
      PreferredAuthentications: 'publickey',
      BatchMode: 'yes',
      LogLevel: 'ERROR',
      EscapeChar: 'none',
    };
    return ['-F', 'none', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
  }
}
