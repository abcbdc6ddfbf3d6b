/**
 * A lock between processes that the kernel releases however its holder dies. It is a Unix socket in the abstract namespace (unix(7)),
 * which leaves no file behind. The holder answers each connection with its pid and a note.
 * The lock is local to a network namespace: two containers that share a directory do not see each other's locks.
 */
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { resolve } from 'node:path';

export interface Holder {
  pid: number;
  /** The holder's description of itself, such as the address at which it serves. */
  note: string;
}

export type LockResult = { isHeld: true; release: () => Promise<void> } | { isHeld: false; holder: Holder };

/** A holder answers at once unless it is stopped or badly overloaded. Even without an answer, the connection proves that it exists. */
const answerTimeoutMs = 1000;

/** A hash, because abstract names hold 107 bytes, and many paths are longer. */
const socketName = (path: string): string =>
  `\0live-migration-lab-${createHash('sha256').update(resolve(path)).digest('hex')}`;

/** Returns the holder of the lock of `path`, or undefined if it is free. The pid is 0 when the holder does not answer. */
export function lockHolder(path: string): Promise<Holder | undefined> {
  return new Promise((done) => {
    let answer = '';
    const socket = connect({ path: socketName(path) });
    const finish = () => {
      socket.destroy();
      try {
        done(JSON.parse(answer) as Holder);
      } catch {
        done({ pid: 0, note: '' });
      }
    };
    socket.setEncoding('utf8').setTimeout(answerTimeoutMs, finish);
    socket.on('data', (text: string) => {
      answer += text;
    });
    socket.on('end', finish);
    socket.on('error', () => {
      done(undefined);
    });
  });
}

/**
 * Takes the lock of `path` if it is free. The lock does not keep the process alive.
 * @param path names the lock; need not exist
 * @param note called whenever another process asks for the holder
 */
export async function tryLock(path: string, note: () => string = () => ''): Promise<LockResult> {
  for (;;) {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(JSON.stringify({ pid: process.pid, note: note() } satisfies Holder));
    });
    server.unref();
    const isTaken = await new Promise<boolean>((done, fail) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') done(true);
        else fail(error);
      });
      server.listen({ path: socketName(path) }, () => {
        done(false);
      });
    });
    if (!isTaken) {
      const release = () =>
        new Promise<void>((done) => {
          server.close(() => {
            done();
          });
        });
      return { isHeld: true, release };
    }
    const holder = await lockHolder(path);
    // The lock was released between the two attempts: try again.
    if (holder) return { isHeld: false, holder };
  }
}
