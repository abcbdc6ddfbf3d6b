/** POSIX details that Node passes on unprocessed. */
import type { Stats } from 'node:fs';

/** Whether a system call failed with this errno, for example `ENOENT` (errno(3)). */
export const hasErrno = (thrown: unknown, name: string): boolean =>
  thrown instanceof Error && 'code' in thrown && thrown.code === name;

/** Bytes that a file occupies on disk. POSIX counts blocks of 512 bytes, whatever the file system's block size is (stat(2)). */
export const allocatedBytes = ({ blocks }: Pick<Stats, 'blocks'>): number => blocks * 512;
