/** Lets pages in to the session's WebSocket: who they are was settled by the gateway, how many there are is settled here. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { WebSocketServer, type WebSocket } from 'ws';
import { roleSchema, type Role } from '../../protocol/session';
import { protocolName } from '../../protocol/messages';
import { maxFrameBytes, serve, type Client, type Inbox } from './page-connection';

/** Set by the gateway, which takes it from nobody else; absent for the owner. */
const roleHeader = 'x-lab-role';
/** Pages of one session at the same time. */
const maxPages: Record<Role, number> = { owner: 8, viewer: 20 };

export class Gate {
  private readonly sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxFrameBytes,
    maxFragments: 16,
    perMessageDeflate: false,
    autoPong: false,
    handleProtocols: (offered) => (offered.has(protocolName) ? protocolName : false),
  });
  private readonly pages: Record<Role, Set<WebSocket>> = { owner: new Set(), viewer: new Set() };

  /** @param connect makes a page known to the session */
  constructor(
    private readonly connect: (client: Client) => Inbox,
    private readonly log: Logger,
  ) {}

  /** Handles the `upgrade` event of an HTTP server. */
  admit(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const role = roleSchema.safeParse(request.headers[roleHeader] ?? 'owner');
    if (!role.success) {
      refuse(socket, '400 Bad Request');
      return;
    }
    const pages = this.pages[role.data];
    if (pages.size >= maxPages[role.data]) {
      refuse(socket, '429 Too Many Requests');
      return;
    }
    this.sockets.handleUpgrade(request, socket, head, (page) => {
      pages.add(page);
      page.on('close', () => pages.delete(page));
      serve(page, socket, role.data, this.connect, this.log);
    });
  }

  /** Closes all sockets. */
  close(code: number, reason: string): void {
    for (const page of this.sockets.clients) page.close(code, reason);
  }
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
