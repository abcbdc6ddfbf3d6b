/** The learner without a browser, against a server that says what a runner says when a session ends. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { closeCodes, protocolName, type ServerMessage } from '../protocol/messages';
import { Learner } from './learner';

const hello: ServerMessage = {
  type: 'hello',
  session: {
    id: 'session',
    lessonId: 'lesson',
    accelerator: 'tcg',
    createdAtMs: 0,
    endsAtMs: 1,
    extensionsLeft: 0,
  },
  sandboxId: 'sandbox',
  role: 'owner',
  pair: { phase: 'ready', elapsedMs: 0 },
  terminals: [],
  steps: {},
  values: {},
  runs: [],
  deadline: { endsAtMs: 1, extensionsLeft: 0, idleEndsAtMs: null },
  saves: [],
};

let server: WebSocketServer;
afterEach(() => {
  server.close();
});

test('knows why its session has ended, and with which code the runner closed the line later', async () => {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => protocolName });
  await once(server, 'listening');
  const learner = new Learner(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  server.on('connection', (socket) => {
    socket.send(JSON.stringify(hello));
  });
  await learner.open('ticket');
  const [socket] = server.clients;
  const ended: ServerMessage = { type: 'ended', reason: 'by-learner' };
  socket?.send(JSON.stringify(ended));
  await learner.waitFor('ended', () => true, 60_000);
  // The runner destroys the pair before it closes the line. A learner that closed it first would be heard before this pong.
  socket?.ping();
  await once(socket as NonNullable<typeof socket>, 'pong');
  expect(learner.connection.state).toBe('closed');
  expect(learner.closeCode).toBeUndefined();
  socket?.close(closeCodes.sessionEnded);
  await learner.until(() => learner.closeCode !== undefined, 60_000, 'closed line');
  expect(learner.closeCode).toBe(closeCodes.sessionEnded);
  expect(learner.latest('ended')).toEqual(ended);
});
