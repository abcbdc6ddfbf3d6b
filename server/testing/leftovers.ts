/** Finds what a lab left on this machine, for tests that stop or kill it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

function commandLines(stateDir: string): { pid: number; words: string[] }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
        return words.some((word) => word.includes(stateDir)) ? [{ pid: Number(name), words }] : [];
      } catch {
        // The process has ended meanwhile.
        return [];
      }
    });
}

/** Command lines of all processes that mention this state directory: runners, QEMU, ssh, socat. */
export const processesOf = (stateDir: string): string[] =>
  commandLines(stateDir).map(({ words }) => words.join(' '));

/** Ids of the processes among them that run `program`. */
export const processIdsOf = (stateDir: string, program: string): number[] =>
  commandLines(stateDir).flatMap(({ pid, words }) => (words[0] === program ? [pid] : []));

/** Ids of sandboxes with a directory, which holds overlays, sockets and logs. */
export function sandboxesOf(stateDir: string): string[] {
  try {
    return readdirSync(join(stateDir, 'sandboxes'));
  } catch {
    return [];
  }
}
