/** The gateway's client in the browser. */
import '../../../server/protocol/zod-without-eval';
import { GatewayClient } from '../../../server/client/gateway-client';
import type { Socket, SocketHandlers } from '../../../server/client/socket';
import { protocolName } from '../../../server/protocol/messages';

/** The gateway's HTTP API over `fetch`, and its sockets as the browser opens them. */
export class BrowserGateway extends GatewayClient {
  readonly #grant: string | undefined;

  /** @param grant for a session to watch; absent for this browser's own session */
  constructor(grant?: string) {
    super((path, init) => fetch(path, { ...init, cache: 'no-store' }));
    this.#grant = grant;
  }

  /** @throws LabError with a code other than `lost` when a retry cannot help */
  readonly openSocket = async (handlers: SocketHandlers): Promise<Socket> => {
    const path = this.#grant === undefined ? this.sessionSocket() : this.watchSocket(this.#grant);
    const url = new URL(await path, window.location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url, protocolName);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      handlers.onMessage(event.data);
    };
    socket.onclose = ({ code }) => {
      handlers.onClose(code);
    };
    return socket;
  };
}
