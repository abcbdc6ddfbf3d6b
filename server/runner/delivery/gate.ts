/** Lets pages in to the sandbox's WebSocket. The gateway has settled who they are; the gate settles how many there may be. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { WebSocketServer, type WebSocket } from 'ws';
import { protocolName } from '../../protocol/messages';
import { roleHeader } from '../../protocol/runner';
import { roleSchema, type Role } from '../../protocol/session';
import { PageConnection, type PageHandler } from './page-connection';
import { maxFrameBytes } from './page-limits';

/** Pages of one session at the same time. */
const maxPages: Record<Role, number> = { owner: 8, viewer: 20 };

export class Gate {
  readonly #connect: (page: PageConnection) => PageHandler;
  readonly #log: Logger;
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: maxFrameBytes,
    maxFragments: 16,
    perMessageDeflate: false,
    autoPong: false,
    handleProtocols: (offered) => (offered.has(protocolName) ? protocolName : false),
  });
  readonly #sockets: Record<Role, Set<WebSocket>> = { owner: new Set(), viewer: new Set() };

  /** @param connect makes a page known to the sandbox */
  constructor(connect: (page: PageConnection) => PageHandler, log: Logger) {
    this.#connect = connect;
    this.#log = log;
  }

  /** Handles the `upgrade` event of an HTTP server. A handshake without a valid {@link roleHeader} is refused with 400. */
  admit(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    stream.on('error', () => stream.destroy());
    const role = roleSchema.safeParse(request.headers[roleHeader]);
    if (!role.success) {
      this.#log.warn({ role: request.headers[roleHeader] }, 'handshake refused: no valid role');
      refuse(stream, '400 Bad Request');
      return;
    }
    const sockets = this.#sockets[role.data];
    if (sockets.size >= maxPages[role.data]) {
      refuse(stream, '429 Too Many Requests');
      return;
    }
    this.#server.handleUpgrade(request, stream, head, (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      new PageConnection(socket, stream, role.data, this.#log).serve(this.#connect);
    });
  }

  /** Closes all sockets. */
  close(code: number, reason: string): void {
    for (const socket of this.#server.clients) socket.close(code, reason);
  }
}

function refuse(stream: Duplex, status: string): void {
  stream.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
