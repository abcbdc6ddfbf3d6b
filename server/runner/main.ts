/**
 * The runner: one process for one session. Usage: runner.js SESSION_DIRECTORY
 *
 * It serves HTTP and WebSocket on the Unix socket in that directory, to whoever may open it (the directory is 0700):
 *
 *     GET  /status   the session's spec
 *     POST /lease    the gateway wants this session to go on
 *     POST /stop     ends the session; answers when nothing is left of it
 *     GET  /socket   WebSocket of one page (see protocol/messages.ts)
 */
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import pino from 'pino';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { loadLesson } from '../lessons/load';
import { LabError } from '../protocol/errors';
import { decodeFrame, encodeFrame, frameHeaderBytes, maxInputBytes } from '../protocol/frames';
import {
  clientMessageSchema,
  closeCodes,
  endReasonSchema,
  parseMessage,
  protocolName,
  type EndReason,
  type ServerMessage,
} from '../protocol/messages';
import { readSession, removeSession, sessionFiles } from '../store/sessions';
import { Session, type Client } from './session';

/** Pages of one session at the same time. */
const maxConnections = 8;
/** A client that lets this much pile up unsent is cut off; output alone never does, its window is smaller. */
const maxUnsentBytes = 4 * 1024 * 1024;
/** A page that answers no ping for this long is gone (a laptop that sleeps, a network that went away). */
const pingIntervalMs = 15_000;

const directory = process.argv[2];
if (!directory) throw new Error('usage: runner.js SESSION_DIRECTORY');
const files = sessionFiles(directory);
const spec = await readSession(directory);
const log = pino({ base: { session: spec.id } }, pino.destination({ dest: files.log, sync: true }));

process.on('uncaughtException', (error) => {
  log.fatal({ err: error }, 'uncaught');
  process.exit(70);
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => void session.end('server-stopped'));
}

const session = new Session(
  spec,
  directory,
  await loadLesson(spec.lessonsDir, spec.lessonId),
  log,
  (reason) => {
    void leave(reason);
  },
);

const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: frameHeaderBytes + maxInputBytes,
  perMessageDeflate: false,
  handleProtocols: (offered) => (offered.has(protocolName) ? protocolName : false),
});

const server = createServer((request, response) => {
  const answer = (status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const url = new URL(request.url ?? '/', 'http://runner');
  if (request.method === 'GET' && url.pathname === '/status') {
    answer(200, spec);
  } else if (request.method === 'POST' && url.pathname === '/lease') {
    session.renewLease();
    answer(200, {});
  } else if (request.method === 'POST' && url.pathname === '/stop') {
    const reason = endReasonSchema.catch('server-stopped').parse(url.searchParams.get('reason'));
    void session.end(reason).then(() => {
      answer(200, {});
    });
  } else {
    answer(404, { error: new LabError('bad-message', 'No such request.').toWire() });
  }
});
server.on('upgrade', (request, socket, head) => {
  if (sockets.clients.size >= maxConnections) {
    socket.end('HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, serve);
});
server.listen(files.socket);
await writeFile(files.pid, String(process.pid));
log.info({ pid: process.pid }, 'runner listens');
await session.start();

function serve(socket: WebSocket): void {
  const send = (data: string | Uint8Array) => {
    if (socket.bufferedAmount > maxUnsentBytes) socket.close(closeCodes.overloaded, 'too slow');
    else socket.send(data);
  };
  const client: Client = {
    send: (message: ServerMessage) => {
      send(JSON.stringify(message));
    },
    viewer: (terminal) => ({
      output: (offset, bytes) => {
        send(encodeFrame({ kind: 'output', channel: terminal.channel, offset, bytes }));
      },
      gap: (offset) => {
        send(JSON.stringify({ type: 'gap', terminal: terminal.id, offset } satisfies ServerMessage));
      },
    }),
  };
  const connection = session.connect(client);
  let answered = true;
  const pings = setInterval(() => {
    if (!answered) socket.terminate();
    answered = false;
    socket.ping();
  }, pingIntervalMs);
  socket.on('pong', () => {
    answered = true;
  });
  socket.on('message', (data, isBinary) => {
    try {
      if (isBinary) {
        const frame = decodeFrame(asBytes(data));
        if (frame.kind !== 'input') throw new LabError('bad-message', 'A page may only send input frames.');
        connection.input(frame.channel, frame.bytes);
      } else {
        connection.receive(parseMessage(clientMessageSchema, asBytes(data).toString()));
      }
    } catch (error) {
      const refused = LabError.from(error, 'A message could not be handled');
      log.warn({ err: refused }, 'socket closed');
      client.send({ type: 'error', error: refused.toWire() });
      socket.close(closeCodes.badMessage, refused.code);
    }
  });
  socket.on('error', (error) => {
    log.warn({ err: error }, 'socket error');
  });
  socket.on('close', () => {
    clearInterval(pings);
    connection.close();
  });
}

function asBytes(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

async function leave(reason: EndReason): Promise<void> {
  for (const socket of sockets.clients) socket.close(closeCodes.sessionEnded, reason);
  await removeSession(directory as string);
  server.close();
  server.closeIdleConnections();
  // Pages that do not answer the close, and requests under way, get this long.
  setTimeout(() => process.exit(0), 1000);
}
