/** What a pair needs to go back to where it was: files of a saved pair, and the disks that several of them share. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hostFiles } from '../../host/qemu';
import { hostNames, type HostName } from '../../protocol/hosts';
import { occupiedBytes } from '../../host/guest-memory';

/** Both hosts of a pair at one instant. */
export interface SavedPair {
  /** What it takes on disk; the part of its disks that other saved states need as well counts for each. */
  readonly bytes: number;
  /** How long the hosts stood still for it. */
  readonly stoppedMs: number;
  /** Removes it; the pair cannot go back to it any more. */
  remove(): Promise<void>;
}

/**
 * The qcow2 overlays of one host. They are a tree: each reads through to the one that it was put over, the first to the
 * template's disk. Only {@link current} is written.
 */
export class Overlays {
  /** What each overlay lies over; undefined is the template's disk. */
  private readonly parents = new Map<string, string | undefined>();
  private made = 0;
  /** The running machine's disk. */
  current: string | undefined;

  constructor(
    private readonly directory: string,
    private readonly host: HostName,
  ) {}

  /** Path for an overlay that is to be made. */
  newFile(): string {
    this.made += 1;
    return join(this.directory, `${this.host}-${this.made}.qcow2`);
  }

  /** From now on the machine writes into `file`, which lies over `parent`. */
  startedOn(file: string, parent: string | undefined): void {
    this.parents.set(file, parent);
    this.current = file;
  }

  /** Removes every overlay that neither the running machine nor one of `wanted` reads. */
  async prune(wanted: Iterable<string | undefined>): Promise<void> {
    const read = new Set<string>();
    for (let file of [this.current, ...wanted]) {
      for (; file !== undefined; file = this.parents.get(file)) read.add(file);
    }
    for (const file of [...this.parents.keys()].filter((made) => !read.has(made))) {
      this.parents.delete(file);
      await rm(file, { force: true });
    }
  }
}

/** The files of a saved pair: one directory with RAM and devices, and a frozen overlay for each host. */
export class SavedFiles implements SavedPair {
  bytes = 0;
  stoppedMs = 0;

  /**
   * @param disks of the hosts, frozen at that instant
   * @param onRemoved the disks may be of no more use
   */
  constructor(
    readonly directory: string,
    readonly disks: Readonly<Record<HostName, string | undefined>>,
    private readonly onRemoved: (saved: SavedFiles) => Promise<void>,
  ) {}

  async measure(): Promise<void> {
    const files = hostNames.flatMap((host) => {
      const { pages, state } = hostFiles(this.directory, host);
      return [pages, state, this.disks[host]].filter((file) => file !== undefined);
    });
    const sizes = await Promise.all(files.map(occupiedBytes));
    this.bytes = sizes.reduce((sum, size) => sum + size, 0);
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
    await this.onRemoved(this);
  }
}
