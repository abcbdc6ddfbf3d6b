/** The gateway's HTTP API and sockets as the page uses them. */
import '../../../server/protocol/zod-without-eval';
import { GatewayClient } from '../../../server/client/gateway-client';
import type { Socket, SocketHandlers } from '../../../server/client/socket';
import { protocolName } from '../../../server/protocol/messages';

const client = new GatewayClient((path, init) => fetch(path, { ...init, cache: 'no-store' }));

/** Each as {@link GatewayClient} has it. */
export const getLab = client.getLab.bind(client);
export const getSession = client.getSession.bind(client);
export const postSession = client.postSession.bind(client);
export const resetSession = client.resetSession.bind(client);
export const extendSession = client.extendSession.bind(client);
export const deleteSession = client.deleteSession.bind(client);
export const grantView = client.grantView.bind(client);
export const revokeView = client.revokeView.bind(client);
export const offerHandover = client.offerHandover.bind(client);
export const takeHandover = client.takeHandover.bind(client);
export const getCast = client.getCast.bind(client);

/** @throws LabError `lost` when it is worth trying again */
export const openSocket = async (handlers: SocketHandlers): Promise<Socket> =>
  openBrowserSocket(await client.sessionSocket(), handlers);

/** The line of a viewer, who was given a grant. As {@link openSocket}. */
export const openWatchSocket = async (grant: string, handlers: SocketHandlers): Promise<Socket> =>
  openBrowserSocket(await client.watchSocket(grant), handlers);

function openBrowserSocket(path: string, handlers: SocketHandlers): Socket {
  const url = new URL(path, window.location.href);
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
}
