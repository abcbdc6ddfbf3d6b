/** One running QEMU process: a sandbox host as seen from outside. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { LabError } from '../protocol/errors';
import type { HostName } from '../protocol/hosts';
import { hostFiles, qemuArguments, type MachinePlan } from './qemu';
import { QmpClient } from './qmp';

const migrationSchema = z.object({ status: z.string().optional(), 'error-desc': z.string().optional() });

/** A learner waits this long for the truth about a kernel that stands still. */
const consolePollMs = 2000;
/** The kernel's log lines are shorter (LOG_LINE_MAX in kernel/printk/internal.h). */
const consoleLineBytes = 1024;
const never = new Promise<string>(() => undefined);

export class Machine {
  readonly host: HostName;
  /** Settles when the process has ended, whatever the reason. */
  readonly exited: Promise<void>;
  /** Overlays that were put over the disk that the machine was started with. */
  private overlays = 0;

  private constructor(
    private readonly plan: MachinePlan,
    private readonly process: ChildProcess,
    private readonly qmp: QmpClient,
  ) {
    this.host = plan.host;
    this.exited = process.exitCode === null ? once(process, 'exit').then(() => undefined) : Promise.resolve();
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /**
   * Starts QEMU. It dies with the process that started it (PR_SET_PDEATHSIG by setpriv), so a SIGKILL of the runner
   * leaves no machine behind.
   * @throws LabError `qemu-failed` with the end of QEMU's own output
   */
  static async start(plan: MachinePlan): Promise<Machine> {
    const files = hostFiles(plan.directory, plan.host);
    const log = openSync(files.log, 'a');
    const child = spawn(
      'setpriv',
      // A disk that would grow over its limit (RLIMIT_FSIZE) is an I/O error for the guest, not the end of QEMU.
      [
        ...['--pdeathsig', 'KILL', 'env', '--ignore-signal=XFSZ'],
        ...['qemu-system-x86_64', ...qemuArguments(plan)],
      ],
      // A process group of its own: Ctrl-C in the server's terminal is the server's to handle.
      { stdio: ['ignore', log, log], detached: true },
    );
    closeSync(log);
    try {
      const ended = new Promise<never>((_, reject) => {
        child.once('error', (cause) => {
          reject(new LabError('missing-tool', `Cannot start QEMU: ${cause.message}`, { cause }));
        });
        child.once('exit', (code) => {
          reject(new LabError('qemu-failed', `QEMU for ${plan.host} ended with code ${code ?? 'none'}.`));
        });
      });
      const qmp = await Promise.race([QmpClient.connect(files.qmp), ended]);
      ended.catch(() => undefined);
      return new Machine(plan, child, qmp);
    } catch (cause) {
      child.kill('SIGKILL');
      const output = await readFile(files.log, 'utf8').catch(() => '');
      const last = output.trim().split('\n').slice(-3).join(' ');
      throw new LabError('qemu-failed', `The virtual machine ${plan.host} did not start. ${last}`, { cause });
    }
  }

  /**
   * Writes the device state of the stopped guest to `stateFile`: all but RAM and disk. The command is named after Xen, which
   * keeps a guest's RAM outside of QEMU as we do, and is in every QEMU.
   */
  async saveState(stateFile: string): Promise<void> {
    await this.qmp.execute('xen-save-devices-state', { filename: stateFile, live: false });
  }

  /**
   * Loads a device state into a machine that has not run yet and whose RAM is what it was at that moment; the guest stays
   * stopped until {@link resume}.
   */
  async loadState(stateFile: string): Promise<void> {
    await this.qmp.execute('migrate-incoming', { uri: `file:${stateFile}` });
    await this.migrationDone();
  }

  /**
   * Lets the guest go on with a new, empty overlay as its disk; the file that was its disk is not written from then on.
   */
  async startOverlay(overlay: string): Promise<void> {
    const node = `disk-${this.overlays + 1}`;
    await this.qmp.execute('blockdev-snapshot-sync', {
      'node-name': this.overlays === 0 ? 'disk' : `disk-${this.overlays}`,
      'snapshot-file': overlay,
      'snapshot-node-name': node,
      format: 'qcow2',
    });
    this.overlays += 1;
  }

  async pause(): Promise<void> {
    await this.qmp.execute('stop');
  }

  async resume(): Promise<void> {
    await this.qmp.execute('cont');
  }

  /**
   * Resolves when the guest has a new sshd at the SSH port: it has noticed that the client before is gone, and the next is
   * served. Ask before the client leaves, or before a state with a client is resumed.
   * @throws LabError `host-unreachable` when that takes over `timeoutMs`
   */
  async freshSshd(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    await this.readRing('ready');
    do {
      await sleep(20);
      if (Date.now() > deadline) {
        throw new LabError(
          'host-unreachable',
          `${this.host} did not end its SSH connection in ${timeoutMs} ms.`,
        );
      }
    } while ((await this.readRing('ready')) === '');
  }

  /**
   * Resolves with the kernel's own words when the guest panics: it then stands still, but its QEMU does not end. Never, when the
   * machine ends otherwise. Root in the guest can write the same words to the console, which costs nobody but that pair.
   */
  async panicked(): Promise<string> {
    let seen = '';
    for (;;) {
      await sleep(consolePollMs, undefined, { ref: false });
      // The line may come in two reads.
      seen = (seen + (await this.consoleTail().catch(() => never))).slice(-2 * consoleLineBytes);
      const words = /Kernel panic - not syncing: [^\r\n]+(?=[\r\n])/.exec(seen)?.[0];
      if (words !== undefined) return words.slice(0, consoleLineBytes);
    }
  }

  /** The last 64 KiB that the guest wrote to its serial console. */
  async consoleTail(): Promise<string> {
    return this.readRing('console');
  }

  /** Ends QEMU at once and waits until it is gone; the guest's disk overlay is disposable. */
  async kill(): Promise<void> {
    this.qmp.close();
    this.process.kill('SIGKILL');
    await this.exited;
  }

  /** Takes what is in a ring buffer out of it. */
  private async readRing(device: 'console' | 'ready'): Promise<string> {
    return z.string().parse(await this.qmp.execute('ringbuf-read', { device, size: 65536 }));
  }

  private async migrationDone(): Promise<void> {
    for (;;) {
      const info = migrationSchema.parse(await this.qmp.execute('query-migrate'));
      if (info.status === 'completed') return;
      if (info.status === 'failed' || info.status === 'cancelled') {
        throw new LabError(
          'qemu-failed',
          `The state of ${this.host} could not be moved: ${info['error-desc'] ?? info.status}.`,
        );
      }
      await sleep(5);
    }
  }
}
