/** What a connection depends on: sockets and a clock. Browser, Node and tests each bring their own. */

/** An open socket; a WebSocket in the browser. */
export interface Socket {
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
}

/** Callbacks of a socket. */
export interface SocketHandlers {
  /** A text frame, or the bytes of a binary one. */
  onMessage: (data: string | ArrayBuffer | Uint8Array) => void;
  /** The socket closed or never opened. */
  onClose: (code: number) => void;
}

/** Time and randomness, injected so tests can control them. */
export interface Clock {
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  /** Milliseconds since any fixed moment. */
  now(): number;
  /** From 0 up to, but not including, 1. */
  random(): number;
}

/** The clock of a browser or of Node; `now` is Unix time. */
export const systemClock: Clock = {
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => {
    clearTimeout(timer as ReturnType<typeof setTimeout> | undefined);
  },
  now: Date.now,
  random: Math.random,
};
