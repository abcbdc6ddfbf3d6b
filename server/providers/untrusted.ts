/**
 * Reads files that a sandbox made. An attacker inside can replace them with anything: a link to a socket or file that only the server
 * may open, a pipe that never ends, a file of unlimited size.
 */
import { once } from 'node:events';
import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { allocatedBytes } from '../posix';

/** O_PATH of open(2) on Linux, which Node does not define: a handle to the file itself, without opening it. */
const pathOnly = 0o10000000;

/**
 * Connects to a Unix socket, and never follows a link in its place.
 * @throws when there is no socket or nobody listens on it
 */
export async function connectUntrusted(path: string): Promise<Socket> {
  const handle = await open(path, pathOnly | constants.O_NOFOLLOW);
  try {
    if (!(await handle.stat()).isSocket()) throw new Error(`${path} is not a socket.`);
    // Through the handle, because the path may name another file by now.
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

/** Reads the last bytes of a regular file as text; returns '' when the path is no regular file. */
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

/** Most entries that are counted in a directory; a sandbox makes about 30. */
const maxEntries = 10_000;

/** Bytes that a directory occupies on disk, without following links; Infinity when it has more entries than any sandbox makes. */
export async function diskUsage(directory: string): Promise<number> {
  let bytes = 0;
  let entries = 0;
  const waiting = [directory];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const name of await readdir(next).catch((): string[] => [])) {
      if (++entries > maxEntries) return Infinity;
      const path = join(next, name);
      const stats = await lstat(path).catch(() => undefined);
      if (stats) bytes += allocatedBytes(stats);
      if (stats?.isDirectory()) waiting.push(path);
    }
  }
  return bytes;
}
