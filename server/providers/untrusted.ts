/**
 * Files that a sandbox made. Whoever has broken into it can put anything in their place: a link to a socket or file that only
 * the server may open, a pipe that never ends, a file without end.
 */
import { once } from 'node:events';
import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';

/** O_PATH of open(2) on Linux, which Node does not name: a handle on the file itself, without opening it. */
const pathOnly = 0o10000000;

/**
 * Connects to a Unix socket, and to nothing that a link at its place points to.
 * @throws when there is no socket or nobody listens on it
 */
export async function connectUntrusted(path: string): Promise<Socket> {
  const handle = await open(path, pathOnly | constants.O_NOFOLLOW);
  try {
    if (!(await handle.stat()).isSocket()) throw new Error(`${path} is not a socket.`);
    // By the handle and not by the path, which may be another file by now.
    const socket = connect(`/proc/self/fd/${handle.fd}`);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  } finally {
    await handle.close();
  }
}

/** The last bytes of a regular file as text; '' when it is none. */
export async function readTailUntrusted(path: string, maxBytes: number): Promise<string> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) return '';
      const bytes = Buffer.alloc(Math.min(maxBytes, stats.size));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, stats.size - bytes.length);
      return bytes.subarray(0, bytesRead).toString();
    } finally {
      await handle.close();
    }
  } catch {
    return '';
  }
}

/** Entries that are looked at when a directory is measured; a sandbox makes about 30. */
const maxEntries = 10_000;

/** Bytes of disk that a directory holds, links not followed; Infinity when it has more entries than any sandbox makes. */
export async function diskUsage(directory: string): Promise<number> {
  let bytes = 0;
  let entries = 0;
  const waiting = [directory];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const name of await readdir(next).catch((): string[] => [])) {
      if (++entries > maxEntries) return Infinity;
      const path = join(next, name);
      const stats = await lstat(path).catch(() => undefined);
      // Blocks are of 512 bytes, whatever the file system's own are (stat(2)).
      bytes += (stats?.blocks ?? 0) * 512;
      if (stats?.isDirectory()) waiting.push(path);
    }
  }
  return bytes;
}
