/** What a rewind needs: the files of a saved pair, and the disks that several saved pairs share. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hostFiles } from '../../host/qemu';
import { hostNames, type HostName } from '../../protocol/hosts';
import { occupiedBytes } from '../../host/guest-memory';

/** Both hosts of a pair at one instant. */
export interface SavedPair {
  /** Bytes on disk. A disk that several saved pairs share counts for each. */
  readonly bytes: number;
  /** How long the hosts were paused for the save. */
  readonly stoppedMs: number;
  /** Removes it. The pair cannot be rewound to it any more. */
  remove(): Promise<void>;
}

/**
 * The qcow2 overlays of one host, a tree: each reads through to the overlay below it, the first to the template's disk. Only
 * {@link current} is written.
 */
export class Overlays {
  readonly #directory: string;
  readonly #host: HostName;
  /** The overlay below each overlay. Undefined is the template's disk. */
  readonly #parents = new Map<string, string | undefined>();
  #made = 0;
  /** The running machine's disk. */
  current: string | undefined;

  constructor(directory: string, host: HostName) {
    this.#directory = directory;
    this.#host = host;
  }

  /** A path for a new overlay. */
  newFile(): string {
    this.#made += 1;
    return join(this.#directory, `${this.#host}-${this.#made}.qcow2`);
  }

  /** From now on the machine writes into `file`, which lies over `parent`. */
  startedOn(file: string, parent: string | undefined): void {
    this.#parents.set(file, parent);
    this.current = file;
  }

  /** Removes every overlay that neither the running machine nor one of `wanted` reads. */
  async prune(wanted: Iterable<string | undefined>): Promise<void> {
    const read = new Set<string>();
    for (let file of [this.current, ...wanted]) {
      for (; file !== undefined; file = this.#parents.get(file)) read.add(file);
    }
    for (const file of [...this.#parents.keys()].filter((made) => !read.has(made))) {
      this.#parents.delete(file);
      await rm(file, { force: true });
    }
  }
}

/** The files of a saved pair: one directory with RAM and devices, and a frozen overlay for each host. */
export class SavedFiles implements SavedPair {
  bytes = 0;
  stoppedMs = 0;

  readonly #onRemoved: (saved: SavedFiles) => Promise<void>;

  /**
   * @param disks of the hosts, frozen at that instant
   * @param onRemoved the disks may no longer be needed
   */
  constructor(
    readonly directory: string,
    readonly disks: Readonly<Record<HostName, string | undefined>>,
    onRemoved: (saved: SavedFiles) => Promise<void>,
  ) {
    this.#onRemoved = onRemoved;
  }

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
    await this.#onRemoved(this);
  }
}
