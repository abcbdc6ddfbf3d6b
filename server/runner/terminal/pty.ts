/**
 * A program in a pseudo-terminal. All knowledge of node-pty beyond its documented interface is in this file.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import type { ReadStream } from 'node:tty';
import { spawn, type IPty } from 'node-pty';

/** What node-pty's terminal has on Unix besides its documented interface (unixTerminal.js of 1.1). */
interface UnixPty extends IPty {
  readonly fd: number;
  /** Path of the program's side. */
  readonly _pty: string;
  readonly _socket: ReadStream;
  /** While it is false, node-pty closes the terminal 200 ms after the program's end, whatever has not been read by then. */
  _emittedClose: boolean;
}

/** After a program has ended, this long without output means that all of it was read, in milliseconds. */
const quietMs = 100;

export interface PtyEvents {
  onData(bytes: Buffer): void;
  /** The program has ended and all that it wrote has been read. */
  onEnd(): void;
}

export class Pty {
  readonly #events: PtyEvents;
  readonly #pty: UnixPty;
  /**
   * The program's side, held open. When its last holder closes it, libuv takes the hang-up for the end and loses what has not been
   * read.
   */
  #slave: number | undefined;
  #isPaused = false;
  #hasExited = false;
  #quiet: NodeJS.Timeout | undefined;

  constructor(
    [file, ...parameters]: readonly [string, ...string[]],
    size: { columns: number; rows: number },
    events: PtyEvents,
  ) {
    this.#events = events;
    // `encoding: null` makes node-pty hand out Buffers, which its types do not know.
    this.#pty = spawn(file, parameters, {
      name: 'xterm-256color',
      cols: size.columns,
      rows: size.rows,
      encoding: null,
    }) as UnixPty;
    this.#pty._emittedClose = true;
    this.#slave = openSync(this.#pty._pty, constants.O_RDWR | constants.O_NOCTTY);
    this.#pty.onData((data) => {
      events.onData(data as unknown as Buffer);
      this.#awaitEnd();
    });
    this.#pty.onExit(() => {
      this.#hasExited = true;
      this.#awaitEnd();
    });
  }

  /**
   * Types as many of the bytes as the kernel's buffer takes now. node-pty's own queue has no bound, and retries without a pause
   * while the program does not read.
   * @returns how many were taken; all of them when the program has ended
   */
  write(bytes: Uint8Array): number {
    if (!this.#isOpen) return bytes.length;
    try {
      // This does not block: node-pty opens the terminal with O_NONBLOCK.
      return writeSync(this.#pty.fd, bytes);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 0;
      return bytes.length;
    }
  }

  resize(columns: number, rows: number): void {
    if (this.#isOpen) this.#pty.resize(columns, rows);
  }

  pause(): void {
    this.#isPaused = true;
    this.#pty.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.#isOpen) return;
    this.#pty.resume();
    this.#awaitEnd();
  }

  /** Ends the program. Output that has not been read is dropped. */
  kill(): void {
    if (!this.#hasExited) this.#pty.kill('SIGKILL');
    this.#release();
  }

  /** False after the close: the file descriptor may then belong to another file. */
  get #isOpen(): boolean {
    return this.#slave !== undefined && !this.#pty._socket.destroyed;
  }

  #awaitEnd(): void {
    clearTimeout(this.#quiet);
    if (!this.#hasExited || this.#isPaused || !this.#isOpen) return;
    this.#quiet = setTimeout(() => {
      if (this.#isPaused) return;
      this.#release();
      this.#events.onEnd();
    }, quietMs);
  }

  #release(): void {
    clearTimeout(this.#quiet);
    this.#pty._socket.destroy();
    if (this.#slave !== undefined) closeSync(this.#slave);
    this.#slave = undefined;
  }
}
