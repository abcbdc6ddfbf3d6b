/**
 * The way into a sandbox host: one OpenSSH connection over the host's virtio-serial port, multiplexed, so that each
 * further terminal or check costs one channel and no key exchange. No network is involved.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { LabError } from '../protocol/errors';
import type { HostName } from '../protocol/hosts';
import { hostFiles } from './qemu';

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Output of a check that is kept; a guest that prints more is cut off and the check fails. */
const maxCommandOutputBytes = 256 * 1024;

export class ControlChannel {
  private master: ChildProcess | undefined;
  private opening: Promise<void> | undefined;
  private closed = false;

  /**
   * @param directory the machine's directory (see hostFiles)
   * @param imageDir host image with `id_ed25519` and `known_hosts`
   */
  constructor(
    private readonly directory: string,
    private readonly host: HostName,
    private readonly imageDir: string,
  ) {}

  /** Connects unless connected. Waits for the guest's sshd up to `timeoutMs`. @throws LabError `host-unreachable` */
  open(timeoutMs: number): Promise<void> {
    if (this.master?.exitCode === null && existsSync(hostFiles(this.directory, this.host).control)) {
      return Promise.resolve();
    }
    this.opening ??= this.connect(timeoutMs).finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  /** Command and arguments that open a login shell on the host in the caller's terminal. */
  attachCommand(): [command: string, ...parameters: string[]] {
    return ['ssh', ...this.options(), '-tt', `root@${this.host}`];
  }

  /**
   * Runs a shell script on the host as root, outside of any terminal.
   * @throws LabError `host-unreachable` when ssh itself failed or the time was up, `cancelled` when the signal fired
   */
  async run(script: string, options: { timeoutMs: number; signal?: AbortSignal }): Promise<CommandResult> {
    const result = await execa('ssh', [...this.options(), '-T', `root@${this.host}`, 'bash -s'], {
      input: script,
      reject: false,
      timeout: options.timeoutMs,
      maxBuffer: maxCommandOutputBytes,
      ...(options.signal ? { cancelSignal: options.signal } : {}),
    });
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

  close(): void {
    this.closed = true;
    this.master?.kill('SIGKILL');
  }

  private async connect(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    const { control } = hostFiles(this.directory, this.host);
    while (!this.closed) {
      await rm(control, { force: true });
      let complaint = '';
      const master = spawn('ssh', [...this.options(), '-M', '-N', `root@${this.host}`], {
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

  private options(): string[] {
    const { control, ssh } = hostFiles(this.directory, this.host);
    const settings = {
      ControlPath: control,
      ProxyCommand: `socat - UNIX-CONNECT:${ssh}`,
      IdentityFile: join(this.imageDir, 'id_ed25519'),
      IdentitiesOnly: 'yes',
      UserKnownHostsFile: join(this.imageDir, 'known_hosts'),
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
