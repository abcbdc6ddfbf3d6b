/** What a lab leaves behind, as its tests ask after stopping or killing it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Command lines of all processes that have to do with this state directory: runners, QEMU, ssh, socat. */
export function processesOf(stateDir: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ');
        return words.includes(stateDir) ? [words] : [];
      } catch {
        // The process has ended meanwhile.
        return [];
      }
    });
}

/** Directories of sessions: overlays, sockets and logs are in them. */
export function sessionsOf(stateDir: string): string[] {
  try {
    return readdirSync(join(stateDir, 'sessions'));
  } catch {
    return [];
  }
}
