/**
 * The runner: one process for one pair. Usage: runner.js SANDBOX_DIRECTORY
 *
 * It serves HTTP and WebSocket on the Unix socket in that directory, to whoever may open it (the directory is 0700).
 * Bodies are those of protocol/runner.ts:
 *
 *     GET  /status    how the pair is
 *     PUT  /session   gives the pair to a session, or changes that session's deadline
 *     POST /lease     the gateway wants this sandbox to go on; answers as /status
 *     POST /stop      ends the sandbox; answers when nothing of it runs
 *     GET  /socket    WebSocket of one page (see protocol/messages.ts)
 */
import { readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import pino from 'pino';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { LabError } from '../protocol/errors';
import { decodeFrame, encodeFrame, frameHeaderBytes, maxInputBytes } from '../protocol/frames';
import {
  clientMessageSchema,
  closeCodes,
  parseMessage,
  protocolName,
  type EndReason,
  type ServerMessage,
} from '../protocol/messages';
import { assignmentSchema, stopRequestSchema } from '../protocol/runner';
import { readSandbox, sandboxFiles } from '../store/sandboxes';
import { Session, type Client } from './session';

/** Pages of one session at the same time. */
const maxConnections = 8;
/** A client that lets this much pile up unsent is cut off; output alone never does, its window is smaller. */
const maxUnsentBytes = 4 * 1024 * 1024;
/** A page that answers no ping for this long is gone (a laptop that sleeps, a network that went away). */
const pingIntervalMs = 15_000;

const directory = process.argv[2];
if (!directory) throw new Error('usage: runner.js SANDBOX_DIRECTORY');
const files = sandboxFiles(directory);
const spec = await readSandbox(directory);
// Standard output is the sandbox's log file. Synchronous: a process that ends must not have lines left to write.
const log = pino({ base: { sandbox: spec.id } }, pino.destination({ dest: 1, sync: true }));

process.on('uncaughtException', (error) => {
  log.fatal({ err: error }, 'uncaught');
  process.exit(70);
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => void session.end('server-stopped'));
}

const session = new Session(spec, files.run, log, (reason) => {
  void leave(reason);
});

const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: frameHeaderBytes + maxInputBytes,
  perMessageDeflate: false,
  handleProtocols: (offered) => (offered.has(protocolName) ? protocolName : false),
});

const server = createServer((request, response) => {
  void answer(request, response);
});
server.on('upgrade', (request, socket, head) => {
  if (sockets.clients.size >= maxConnections) {
    socket.end('HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, serve);
});
server.listen(files.socket);
log.info('runner listens');
session.start();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const reply = (status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  try {
    switch (`${request.method ?? ''} ${request.url ?? ''}`) {
      case 'GET /status':
        reply(200, await session.report());
        break;
      case 'PUT /session':
        await session.assign(parseMessage(assignmentSchema, await text(request)));
        reply(200, {});
        break;
      case 'POST /lease':
        session.renewLease();
        reply(200, await session.report());
        break;
      case 'POST /stop':
        await session.end(parseMessage(stopRequestSchema, await text(request)).reason);
        reply(200, {});
        break;
      default:
        reply(404, { error: new LabError('bad-message', 'No such request.').toWire() });
    }
  } catch (error) {
    const failure = LabError.from(error, 'The runner could not do that');
    log.warn({ err: failure, url: request.url }, 'request failed');
    reply(400, { error: failure.toWire() });
  }
}

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
  let connection: ReturnType<Session['connect']>;
  try {
    connection = session.connect(client);
  } catch (error) {
    socket.close(closeCodes.badMessage, LabError.from(error, 'Not connected').code);
    return;
  }
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

/** What the pair wrote is gone with it; the log and the reason stay for the gateway, which removes the directory. */
async function leave(reason: EndReason): Promise<void> {
  // Before the socket is gone: who finds no socket reads this.
  await writeFile(files.ended, reason);
  for (const socket of sockets.clients) socket.close(closeCodes.sessionEnded, reason);
  server.close();
  server.closeIdleConnections();
  const kept = new Set([files.log, files.ended]);
  for (const name of await readdir(files.run)) {
    const path = join(files.run, name);
    if (!kept.has(path)) await rm(path, { recursive: true, force: true });
  }
  // Pages that do not answer the close, and requests under way, get this long.
  setTimeout(() => process.exit(0), 1000);
}
