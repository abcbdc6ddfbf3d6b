/** Memory and processor time of running processes, from /proc (proc(5)). */
import { readFile } from 'node:fs/promises';

/** The kernel counts processor time of processes in ticks of this length for all user programs (USER_HZ). */
const ticksPerSecond = 100;

export interface Usage {
  /**
   * Memory that is nobody else's, in memory or swapped out. Pages of the template's file are not counted, although the kernel
   * calls those private that only one process happens to map.
   */
  memoryBytes: number;
  cpuSeconds: number;
}

/** Sums over processes; one that has ended counts nothing. */
export async function usageOf(pids: readonly number[]): Promise<Usage> {
  const usages = await Promise.all(pids.map(usageOfOne));
  return {
    memoryBytes: usages.reduce((sum, usage) => sum + usage.memoryBytes, 0),
    cpuSeconds: usages.reduce((sum, usage) => sum + usage.cpuSeconds, 0),
  };
}

async function usageOfOne(pid: number): Promise<Usage> {
  try {
    const [rollup, stat] = await Promise.all([
      readFile(`/proc/${pid}/smaps_rollup`, 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    const privateKiB = [...rollup.matchAll(/^(?:Anonymous|Swap): +(\d+) kB/gm)];
    // The command's name may hold spaces and parentheses; utime and stime are the 12th and 13th field after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      memoryBytes: privateKiB.reduce((sum, match) => sum + Number(match[1]), 0) * 1024,
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    };
  } catch {
    return { memoryBytes: 0, cpuSeconds: 0 };
  }
}
