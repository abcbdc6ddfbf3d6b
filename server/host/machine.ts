/** One running QEMU process: a sandbox host, seen from outside. */
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

/** How often the console is read for a kernel panic, so also how long a learner may wait to hear of one. */
const consolePollMs = 2000;
/** Longer than any line of the kernel's log (LOG_LINE_MAX in kernel/printk/internal.h). */
const consoleLineBytes = 1024;
const never = new Promise<string>(() => undefined);

export class Machine {
  readonly host: HostName;
  /** Settles when the process has ended, whatever the reason. */
  readonly exited: Promise<void>;
  readonly #plan: MachinePlan;
  readonly #process: ChildProcess;
  readonly #qmp: QmpClient;
  /** Number of overlays added on top of the disk with which the machine started. */
  #overlays = 0;

  private constructor(plan: MachinePlan, process: ChildProcess, qmp: QmpClient) {
    this.#plan = plan;
    this.#process = process;
    this.#qmp = qmp;
    this.host = plan.host;
    this.exited = process.exitCode === null ? once(process, 'exit').then(() => undefined) : Promise.resolve();
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /**
   * Starts QEMU. QEMU dies with the process that started it (setpriv sets PR_SET_PDEATHSIG), so a SIGKILL of the runner leaves no
   * machine behind.
   * @throws LabError `qemu-failed` with the last lines of QEMU's output
   */
  static async start(plan: MachinePlan): Promise<Machine> {
    const files = hostFiles(plan.directory, plan.host);
    const log = openSync(files.log, 'a');
    const child = spawn(
      'setpriv',
      // With SIGXFSZ ignored, a disk that reaches its limit (RLIMIT_FSIZE) gives the guest an I/O error and does not kill QEMU.
      [
        ...['--pdeathsig', 'KILL', 'env', '--ignore-signal=XFSZ'],
        ...['qemu-system-x86_64', ...qemuArguments(plan)],
      ],
      // A separate process group: Ctrl-C in the server's terminal must reach only the server.
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
   * Writes the device state of the stopped guest, without RAM and disk, to `stateFile`. The QMP command is named after Xen, which
   * keeps a guest's RAM outside QEMU as the lab does. Every QEMU has it.
   */
  async saveState(stateFile: string): Promise<void> {
    await this.#qmp.execute('xen-save-devices-state', { filename: stateFile, live: false });
  }

  /**
   * Loads a device state into a machine that has not run yet. Its RAM must be the RAM of the moment at which the state was saved.
   * The guest stays stopped until {@link resume}.
   */
  async loadState(stateFile: string): Promise<void> {
    await this.#qmp.execute('migrate-incoming', { uri: `file:${stateFile}` });
    await this.#migrationDone();
  }

  /**
   * Gives the guest a new, empty overlay as its disk. QEMU no longer writes to the previous disk file.
   */
  async startOverlay(overlay: string): Promise<void> {
    const node = `disk-${this.#overlays + 1}`;
    await this.#qmp.execute('blockdev-snapshot-sync', {
      'node-name': this.#overlays === 0 ? 'disk' : `disk-${this.#overlays}`,
      'snapshot-file': overlay,
      'snapshot-node-name': node,
      format: 'qcow2',
    });
    this.#overlays += 1;
  }

  async pause(): Promise<void> {
    await this.#qmp.execute('stop');
  }

  async resume(): Promise<void> {
    await this.#qmp.execute('cont');
  }

  /**
   * Resolves when a new sshd listens at the guest's SSH port: the guest has noticed that the previous client left and serves the
   * next. Call it before the client leaves, or before a state with a client is resumed.
   * @throws LabError `host-unreachable` when that takes longer than `timeoutMs`
   */
  async freshSshd(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    await this.#readRing('ready');
    do {
      await sleep(20);
      if (Date.now() > deadline) {
        throw new LabError(
          'host-unreachable',
          `${this.host} did not end its SSH connection in ${timeoutMs} ms.`,
        );
      }
    } while ((await this.#readRing('ready')) === '');
  }

  /**
   * Resolves with the kernel's panic message when the guest panics: the guest then stands still, but its QEMU does not end. Never
   * resolves when the machine ends in another way. Root in the guest can fake the message on the console, which harms only that pair.
   */
  async panicked(): Promise<string> {
    let seen = '';
    for (;;) {
      await sleep(consolePollMs, undefined, { ref: false });
      // The line may arrive in two reads.
      seen = (seen + (await this.consoleTail().catch(() => never))).slice(-2 * consoleLineBytes);
      const message = /Kernel panic - not syncing: [^\r\n]+(?=[\r\n])/.exec(seen)?.[0];
      if (message !== undefined) return message.slice(0, consoleLineBytes);
    }
  }

  /** The last 64 KiB that the guest wrote to its serial console. */
  async consoleTail(): Promise<string> {
    return this.#readRing('console');
  }

  /** Ends QEMU at once and waits until it is gone; the guest's disk overlay is disposable. */
  async kill(): Promise<void> {
    this.#qmp.close();
    this.#process.kill('SIGKILL');
    await this.exited;
  }

  /** Reads and empties a ring buffer. */
  async #readRing(device: 'console' | 'ready'): Promise<string> {
    return z.string().parse(await this.#qmp.execute('ringbuf-read', { device, size: 65536 }));
  }

  async #migrationDone(): Promise<void> {
    for (;;) {
      const info = migrationSchema.parse(await this.#qmp.execute('query-migrate'));
      if (info.status === 'completed') return;
      if (info.status === 'failed' || info.status === 'cancelled') {
        throw new LabError(
          'qemu-failed',
          `QEMU cannot load the state of ${this.host}: ${info['error-desc'] ?? info.status}.`,
        );
      }
      await sleep(5);
    }
  }
}
