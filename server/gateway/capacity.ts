/** How many pairs this machine holds, from what its pairs have been measured to cost. */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { percentile } from './percentile';
import { mostPairBytes, type Config } from '../config';
import type { RunnerStatus } from '../protocol/runner';

const mebibyte = 1024 * 1024;

/** Peaks kept: enough for a workshop's worth of pairs, few enough to follow what changes. */
const keptPeaks = 200;
/**
 * Samples of processor time, one for each pair every 5 s: with fewer than the first number, 10 minutes of one pair, a lone command
 * would pass for what learners do on average.
 */
const neededCpuSamples = 120;
const keptCpuSamples = 2000;
/** A pair may keep a processor busy with its own beginning this long, which is not what its learner does. */
const settlingMs = 30_000;

/** Pairs may use this share of the processors on average; the rest is for bursts and for the gateway. */
const cpuShare = 0.9;

export interface Capacity {
  /** Pairs that may exist at once, those that run included. */
  pairs: number;
  /** What sets the limit. */
  limitedBy: 'memory' | 'cpu' | 'configuration';
  /** Memory that one more pair is expected to take. */
  pairBytes: number;
  /** Processors that a pair is expected to keep busy on average; null until measured. */
  pairCpus: number | null;
  /** Whether `pairBytes` was measured on pairs that were in use, or is the most that one could take. */
  isMeasured: boolean;
}

/** Memory that programs can still have without swapping (proc_meminfo(5)), or less where a container's limit is nearer. */
export async function availableMemoryBytes(): Promise<number> {
  const meminfo = await readFile('/proc/meminfo', 'utf8');
  return Number(/^MemAvailable: +(\d+) kB/m.exec(meminfo)?.[1] ?? 0) * 1024;
}

/** A pair that learners have had this long has shown what it costs; before, it only shows that it has begun. */
const tellingMs = 10 * 60_000;

interface Observed {
  sinceMs: number;
  cpuSeconds: number;
  atMs: number;
  peakBytes: number;
}

/**
 * Learns what a pair costs from the runners' own reports. Only pairs that learners use count: one that waits in the pool has
 * not begun to cost what it will.
 */
export class CapacityMeter {
  readonly #limits: Pick<Config, 'maxSessions' | 'hostMemoryMiB' | 'sessionOverheadMiB' | 'memoryReserveMiB'>;
  readonly #processors: number;
  readonly #observed = new Map<string, Observed>();
  readonly #cpus: number[] = [];

  /**
   * @param peaks most memory of each pair that learners had before, oldest first; those that end are added
   */
  constructor(
    limits: Pick<Config, 'maxSessions' | 'hostMemoryMiB' | 'sessionOverheadMiB' | 'memoryReserveMiB'>,
    readonly peaks: number[] = [],
    processors: number = availableParallelism(),
  ) {
    this.#limits = limits;
    this.#processors = processors;
  }

  observe(sandboxId: string, status: RunnerStatus, atMs: number): void {
    if (status.lessonId === null || status.phase !== 'ready') return;
    const before = this.#observed.get(sandboxId);
    if (before && atMs > before.atMs && before.atMs - before.sinceMs >= settlingMs) {
      const cpus = ((status.cpuSeconds - before.cpuSeconds) * 1000) / (atMs - before.atMs);
      if (cpus >= 0) remember(this.#cpus, cpus, keptCpuSamples);
    }
    this.#observed.set(sandboxId, {
      sinceMs: before?.sinceMs ?? atMs,
      cpuSeconds: status.cpuSeconds,
      atMs,
      // What a runner says of itself may not be true, but a pair cannot have more than this.
      peakBytes: Math.min(Math.max(before?.peakBytes ?? 0, status.memoryBytes), this.#mostBytes),
    });
  }

  /** The sandbox has ended. @returns whether there is one more peak now */
  forget(sandboxId: string): boolean {
    const last = this.#observed.get(sandboxId);
    this.#observed.delete(sandboxId);
    if (!last || last.atMs - last.sinceMs < tellingMs) return false;
    remember(this.peaks, last.peakBytes, keptPeaks);
    return true;
  }

  /**
   * @param availableBytes memory that is free now
   * @param pairs that exist now and have taken theirs from it already
   */
  capacity(availableBytes: number, pairs: number): Capacity {
    const telling = [...this.#observed.values()].filter(({ sinceMs, atMs }) => atMs - sinceMs >= tellingMs);
    const measured = percentile([...this.peaks, ...telling.map(({ peakBytes }) => peakBytes)], 0.9);
    const pairBytes = measured ?? this.#mostBytes;
    const spare = availableBytes - this.#limits.memoryReserveMiB * mebibyte;
    const byMemory = Math.max(0, pairs + Math.floor(spare / pairBytes));
    const meanCpus =
      this.#cpus.length < neededCpuSamples
        ? null
        : this.#cpus.reduce((sum, cpus) => sum + cpus, 0) / this.#cpus.length;
    // A pair that does nothing is not the measure of one that a learner works with: never more than 20 a processor.
    const byCpu =
      meanCpus === null ? Infinity : Math.floor((this.#processors * cpuShare) / Math.max(meanCpus, 0.045));
    const least = Math.min(byMemory, byCpu, this.#limits.maxSessions);
    return {
      pairs: least,
      limitedBy: least === byMemory ? 'memory' : least === byCpu ? 'cpu' : 'configuration',
      pairBytes,
      pairCpus: meanCpus,
      isMeasured: measured !== undefined,
    };
  }

  /** Counted for a pair until one was measured. */
  get #mostBytes(): number {
    return mostPairBytes(this.#limits);
  }
}

function remember(samples: number[], value: number, kept: number): void {
  samples.push(value);
  if (samples.length > kept) samples.shift();
}
