/** The pair of one session: two clones of the template and the channels into them. */
import { ControlChannel } from '../host/control-channel';
import { createOverlay } from '../host/disk';
import { Machine } from '../host/machine';
import { hostFiles } from '../host/qemu';
import { LabError } from '../protocol/errors';
import { hostNames, type HostName } from '../protocol/hosts';
import type { PairPhase } from '../protocol/messages';
import { readTemplate, templateShape } from '../template/template';

/** A clone's first login takes 2 to 4 s under TCG; three pairs at once on two cores took 12 s. */
const loginTimeoutMs = 120_000;

/** Both hosts as they were at one instant, on disk. */
export interface SavedPair {
  /** What it occupies on disk. */
  readonly bytes: number;
  remove(): Promise<void>;
}

export class Pair {
  private constructor(
    private readonly machines: readonly Machine[],
    private readonly channels: Record<HostName, ControlChannel>,
  ) {}

  /**
   * Clones the template and waits until both hosts take commands with the right clock.
   * @param directory of the session: overlays, sockets and logs go there
   * @param onPhase told as each phase begins
   * @throws LabError `qemu-failed`, `host-unreachable`, `artifact-damaged`, `cancelled`; nothing is left running then
   */
  static async clone(
    directory: string,
    templateDir: string,
    onPhase: (phase: PairPhase) => void,
    signal: AbortSignal,
  ): Promise<Pair> {
    const template = await readTemplate(templateDir);
    const channel = (host: HostName) => new ControlChannel(directory, host, template.imageDir);
    const channels = { source: channel('source'), destination: channel('destination') };
    onPhase('cloning');
    const started = await Promise.allSettled(
      hostNames.map(async (host) => {
        const disk = hostFiles(directory, host).disk;
        await createOverlay(disk, hostFiles(templateDir, host).disk, 'qcow2');
        const ram = { mode: 'clone' as const, file: hostFiles(templateDir, host).ram };
        const machine = await Machine.start({ ...templateShape(template), host, directory, disk, ram });
        await machine.loadState(hostFiles(templateDir, host).state);
        return machine;
      }),
    );
    const pair = new Pair(
      started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
      channels,
    );
    const onAbort = () => void pair.destroy();
    signal.addEventListener('abort', onAbort);
    try {
      if (signal.aborted) throw new LabError('cancelled', 'The pair is not wanted any more.');
      for (const result of started) if (result.status === 'rejected') throw result.reason;
      onPhase('resuming');
      await Promise.all(pair.machines.map((machine) => machine.resume()));
      onPhase('logging-in');
      await Promise.all(hostNames.map((host) => channels[host].open(loginTimeoutMs)));
      onPhase('setting-clocks');
      await Promise.all(hostNames.map((host) => pair.setClock(host)));
      return pair;
    } catch (error) {
      await pair.destroy();
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Process ids of both machines. */
  get pids(): number[] {
    return this.machines.map((machine) => machine.pid);
  }

  /** @throws LabError `no-saved-state` */
  save(into: string): Promise<SavedPair> {
    return Promise.reject(new LabError('no-saved-state', `Nothing was saved in ${into}.`));
  }

  /** @throws LabError `no-saved-state` */
  rewind(saved: SavedPair | undefined): Promise<void> {
    return Promise.reject(new LabError('no-saved-state', `${saved?.bytes ?? 0}`));
  }

  channel(host: HostName): ControlChannel {
    return this.channels[host];
  }

  /** Resolves with the host whose machine ended first. */
  async hostLost(): Promise<HostName> {
    return Promise.race(this.machines.map((machine) => machine.exited.then(() => machine.host)));
  }

  async destroy(): Promise<void> {
    for (const host of hostNames) this.channels[host].close();
    await Promise.all(this.machines.map((machine) => machine.kill()));
  }

  /** A clone wakes with its template's clock. */
  private async setClock(host: HostName): Promise<void> {
    const seconds = (Date.now() / 1000).toFixed(3);
    const result = await this.channels[host].run(`date --set=@${seconds} >/dev/null`, { timeoutMs: 60_000 });
    if (result.exitCode !== 0) {
      throw new LabError('host-unreachable', `The clock of ${host} could not be set: ${result.stderr}`);
    }
  }
}
