/** A browser's role in Node: keeps cookies, sends an origin, opens sockets. For the lesson test, tests and benchmarks. */
import { WebSocket } from 'ws';
import { protocolName } from '../protocol/messages';
import type { FetchPath } from './gateway-client';
import type { Socket, SocketHandlers } from './socket';

export interface NodeSocket extends Socket {
  send(data: string | Uint8Array): void;
  /** Ends the socket without a close frame, like a lost network. */
  terminate(): void;
}

export interface NodeSocketHandlers extends SocketHandlers {
  onOpen?: () => void;
  /** The socket did not open, or broke. `onClose` follows. */
  onError?: (error: Error) => void;
}

export class NodeBrowser {
  readonly #cookies = new Map<string, string>();

  /** @param url the lab's URL, without a path */
  constructor(readonly url: string) {}

  get cookies(): ReadonlyMap<string, string> {
    return this.#cookies;
  }

  /** Value of the `cookie` header. */
  get cookieHeader(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  setCookie(name: string, value: string): void {
    this.#cookies.set(name, value);
  }

  readonly fetchPath: FetchPath = async (path, init) => {
    const headers = new Headers(init.headers);
    headers.set('origin', this.url);
    if (this.#cookies.size > 0) headers.set('cookie', this.cookieHeader);
    const response = await fetch(`${this.url}${path}`, { ...init, headers });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const at = pair.indexOf('=');
      if (at > 0) this.#cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return response;
  };

  /** @param origin that of the page that opens the socket; tests of the gateway pass another site's */
  openSocket(path: string, handlers: NodeSocketHandlers, origin = this.url): NodeSocket {
    const socket = new WebSocket(`${this.url.replace(/^http/, 'ws')}${path}`, protocolName, {
      headers: { origin, ...(this.#cookies.size > 0 && { cookie: this.cookieHeader }) },
      perMessageDeflate: false,
    });
    socket.binaryType = 'nodebuffer';
    socket.on('open', () => handlers.onOpen?.());
    socket.on('message', (data, isBinary) => {
      // With `nodebuffer` each message is one Buffer.
      const bytes = data as Buffer;
      handlers.onMessage(isBinary ? bytes : bytes.toString());
    });
    socket.on('error', (error) => handlers.onError?.(error));
    socket.on('close', (code) => {
      handlers.onClose(code);
    });
    return {
      send: (data) => {
        socket.send(data);
      },
      close: () => {
        socket.close();
      },
      terminate: () => {
        socket.terminate();
      },
    };
  }
}
