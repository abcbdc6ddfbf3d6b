/**
 * The pair of one sandbox: two clones of the template, and the channels into them. It can be saved while it runs, and rewound to a
 * saved state or to the template with new QEMU processes.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlChannel } from '../host/control-channel';
import { createOverlay } from '../host/disk';
import { copyChangedPages, loadPages, packPages } from '../host/guest-memory';
import { imageCredentials, PairIdentity } from '../host/identity';
import { Machine } from '../host/machine';
import { hostFiles } from '../host/qemu';
import { LabError } from '../protocol/errors';
import { hostNames, type HostName } from '../protocol/hosts';
import { readTemplate, templateShape, type Template } from '../template/template';
import { Overlays, SavedFiles, type SavedPair } from './rewind/saved-pair';
import type { StartingPhase } from './sandbox-state';

/** A clone's first login takes 2 to 4 s under TCG; three pairs at once on two cores took 12 s. */
const loginTimeoutMs = 120_000;

/** Why a pair cannot go on. */
export interface Loss {
  host: HostName;
  /** The kernel's message when it panicked. Absent when the machine has ended. */
  panic?: string;
}

type OnPhase = (phase: StartingPhase) => void;

export class Pair {
  readonly #directory: string;
  readonly #template: Template;
  readonly #identity: PairIdentity;
  readonly #channels: Record<HostName, ControlChannel>;
  readonly #overlays: Record<HostName, Overlays>;
  readonly #machines = new Map<HostName, Machine>();
  readonly #saves = new Set<SavedFiles>();
  #lost!: (loss: Loss) => void;
  readonly #firstLost = new Promise<Loss>((resolve) => (this.#lost = resolve));
  #destroyed = false;
  /** Saving and rewinding, one after the other. */
  #work: Promise<unknown> = Promise.resolve();

  private constructor(directory: string, template: Template, identity: PairIdentity) {
    this.#directory = directory;
    this.#template = template;
    this.#identity = identity;
    const channel = (host: HostName) =>
      new ControlChannel(directory, host, imageCredentials(template.imageDir));
    this.#channels = { source: channel('source'), destination: channel('destination') };
    const overlays = (host: HostName) => new Overlays(directory, host);
    this.#overlays = { source: overlays('source'), destination: overlays('destination') };
  }

  /**
   * Clones the template and waits until both hosts take commands and have the right time and their own identity.
   * @param directory of the sandbox: overlays, sockets and logs go there
   * @param onPhase told as each phase begins
   * @throws LabError `qemu-failed`, `host-unreachable`, `artifact-damaged`, `cancelled`; nothing is left running then
   */
  static async clone(
    directory: string,
    templateDir: string,
    onPhase: OnPhase,
    signal?: AbortSignal,
  ): Promise<Pair> {
    const pair = new Pair(
      directory,
      await readTemplate(templateDir),
      await PairIdentity.create(join(directory, 'keys')),
    );
    const onAbort = () => void pair.destroy();
    signal?.addEventListener('abort', onAbort);
    try {
      if (signal?.aborted) throw new LabError('cancelled', 'The pair is no longer needed.');
      await pair.#bringUp(undefined, onPhase);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    return pair;
  }

  /** Process ids of both machines. */
  get pids(): number[] {
    return [...this.#machines.values()].map((machine) => machine.pid);
  }

  channel(host: HostName): ControlChannel {
    return this.#channels[host];
  }

  /** Resolves when a machine ends, or its kernel panics, without the pair having asked for it. */
  hostLost(): Promise<Loss> {
    return this.#firstLost;
  }

  /**
   * Saves both hosts as of one instant: RAM, devices and disks. They pause for some tenths of a second, and go on while the saved
   * pages are compressed. Whatever fails, the pair goes on.
   * @param into directory for the saved state, which must not exist yet
   * @throws LabError `qemu-failed`, `disk-full`, `missing-tool`; nothing is left in `into` then
   */
  save(into: string): Promise<SavedPair> {
    return this.#alone(async () => {
      const saved = new SavedFiles(
        into,
        { source: this.#overlays.source.current, destination: this.#overlays.destination.current },
        async (removed) => {
          this.#saves.delete(removed);
          await this.#pruneDisks();
        },
      );
      try {
        await mkdir(into, { recursive: true, mode: 0o700 });
        saved.stoppedMs = await this.#freeze(into);
        await Promise.all(hostNames.map((host) => this.#channels[host].wake()));
        for (const host of hostNames) {
          await packPages(rawPages(into, host), this.#ramFile(host), hostFiles(into, host).pages);
        }
        await saved.measure();
      } catch (cause) {
        await rm(into, { recursive: true, force: true }).catch(() => undefined);
        const full = cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC';
        throw full
          ? new LabError('disk-full', 'The disk is too full to save the pair.', { cause })
          : LabError.from(cause, 'The pair could not be saved');
      }
      this.#saves.add(saved);
      return saved;
    });
  }

  /**
   * Takes both hosts back to a saved state, or to the template's. The learner's shells are there again, but the SSH connections into
   * them are not: attach the terminals again.
   * @throws LabError as {@link clone} does; the pair is destroyed then
   */
  rewind(saved: SavedPair | undefined, onPhase: OnPhase = () => undefined): Promise<void> {
    return this.#alone(async () => {
      if (saved !== undefined && !(saved instanceof SavedFiles && this.#saves.has(saved))) {
        throw new LabError('no-saved-state', 'This saved state was removed, or belongs to another pair.');
      }
      for (const host of hostNames) this.#channels[host].disconnect();
      await this.#stopMachines();
      await this.#bringUp(saved, onPhase);
      await this.#pruneDisks();
    });
  }

  async destroy(): Promise<void> {
    this.#destroyed = true;
    for (const host of hostNames) this.#channels[host].close();
    await this.#stopMachines();
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#work.then(() => {
      if (this.#destroyed) throw new LabError('lost', 'The pair is gone.');
      return work();
    });
    this.#work = result.catch(() => undefined);
    return result;
  }

  async #bringUp(saved: SavedFiles | undefined, onPhase: OnPhase): Promise<void> {
    try {
      onPhase('cloning');
      // Both starts have settled before anything is cleaned up.
      const started = await Promise.allSettled(hostNames.map((host) => this.#startMachine(host, saved)));
      for (const result of started) if (result.status === 'rejected') throw result.reason;
      onPhase('resuming');
      // In a saved state the guest's sshd still serves a client that is gone. A connection before sshd notices would be lost.
      const fresh = saved ? this.#onMachines((machine) => machine.freshSshd(loginTimeoutMs)) : undefined;
      await this.#onMachines((machine) => machine.resume());
      onPhase('logging-in');
      const credentials = saved ? this.#identity.credentials : imageCredentials(this.#template.imageDir);
      for (const host of hostNames) this.#channels[host].credentials = credentials;
      await fresh;
      await Promise.all(hostNames.map((host) => this.#channels[host].open(loginTimeoutMs)));
      onPhase('setting-clocks');
      await Promise.all(
        hostNames.map((host) => this.#channels[host].wake(saved ? '' : this.#identity.script(host))),
      );
      for (const host of hostNames) this.#channels[host].credentials = this.#identity.credentials;
    } catch (error) {
      await this.destroy();
      throw error;
    }
  }

  async #startMachine(host: HostName, saved: SavedFiles | undefined): Promise<void> {
    const directory = this.#directory;
    const template = this.#template;
    const overlays = this.#overlays[host];
    const disk = overlays.newFile();
    const parent = saved?.disks[host];
    await createOverlay(disk, parent ?? hostFiles(template.dir, host).disk, 'qcow2');
    overlays.startedOn(disk, parent);
    const ram = { mode: 'clone' as const, file: this.#ramFile(host) };
    const machine = await Machine.start({ ...templateShape(template), host, directory, disk, ram });
    if (this.#destroyed) {
      await machine.kill();
      throw new LabError('cancelled', 'The pair was destroyed while it started.');
    }
    this.#machines.set(host, machine);
    void machine.exited.then(() => {
      if (this.#machines.get(host) === machine) this.#lost({ host });
    });
    void machine.panicked().then((panic) => {
      if (this.#machines.get(host) === machine) this.#lost({ host, panic });
    });
    // RAM first: devices read it when their state is loaded.
    if (saved) await loadPages(machine.pid, ram.file, hostFiles(saved.directory, host).pages);
    await machine.loadState(hostFiles(saved?.directory ?? template.dir, host).state);
  }

  /** Copies both hosts' state into a directory while they are paused, and puts new overlays over their disks. @returns the pause, in ms */
  async #freeze(into: string): Promise<number> {
    const startedAt = performance.now();
    try {
      await this.#onMachines((machine) => machine.pause());
      await this.#onMachines(async (machine) => {
        const { host } = machine;
        const devices = machine.saveState(hostFiles(into, host).state);
        await copyChangedPages(machine.pid, this.#ramFile(host), rawPages(into, host));
        await devices;
        const overlays = this.#overlays[host];
        const overlay = overlays.newFile();
        await machine.startOverlay(overlay);
        overlays.startedOn(overlay, overlays.current);
      });
    } finally {
      await this.#onMachines((machine) => machine.resume());
    }
    return performance.now() - startedAt;
  }

  /** Does the action on both machines, and waits for both even when one fails. */
  async #onMachines(action: (machine: Machine) => Promise<void>): Promise<void> {
    const results = await Promise.allSettled([...this.#machines.values()].map(action));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #stopMachines(): Promise<void> {
    const machines = [...this.#machines.values()];
    this.#machines.clear();
    await Promise.all(machines.map((machine) => machine.kill()));
  }

  async #pruneDisks(): Promise<void> {
    for (const host of hostNames) {
      await this.#overlays[host].prune([...this.#saves].map(({ disks }) => disks[host]));
    }
  }

  #ramFile(host: HostName): string {
    return hostFiles(this.#template.dir, host).ram;
  }
}

/** Changed pages before they are compressed. */
const rawPages = (into: string, host: HostName): string => join(into, `${host}.pages`);
