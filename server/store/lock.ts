/**
 * A lock between processes that the kernel itself releases when its holder dies, however it dies: a Unix socket in the
 * abstract namespace (unix(7)), which has no file that could stay behind. Whoever connects is told who the holder is.
 * It reaches as far as a network namespace: two containers on one shared directory do not see each other's locks.
 */
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { resolve } from 'node:path';

export interface Holder {
  pid: number;
  /** What the holder says of itself, such as the address at which it serves. */
  note: string;
}

export type LockResult = { isHeld: true; release: () => Promise<void> } | { isHeld: false; holder: Holder };

/** A holder answers at once unless it is stopped or badly overloaded; that it exists is known without its answer. */
const answerTimeoutMs = 1000;

/** Abstract names hold 107 bytes, less than many paths have. */
const socketName = (path: string): string =>
  `\0live-migration-lab-${createHash('sha256').update(resolve(path)).digest('hex')}`;

/** Who holds the lock of `path`, or undefined when nobody does. The pid is 0 when the holder does not answer. */
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
 * Takes the lock of `path` if nobody has it. Does not keep the process alive.
 * @param path names the lock; need not exist
 * @param note asked for each time that somebody wants to know
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
    // Released between the two questions: ask for it again.
    if (holder) return { isHeld: false, holder };
  }
}
