/**
 * The runner: one process for one pair. Usage: runner.js SANDBOX_DIRECTORY
 *
 * It serves HTTP and WebSocket on the Unix socket in that directory. The directory's mode (0700) decides who may open it.
 * protocol/runner.ts has the bodies:
 *
 *     GET  /status    the state of the pair
 *     PUT  /session   assigns the sandbox to a session, or changes that session's deadline
 *     POST /lease     the gateway wants this sandbox to go on; answers as /status
 *     POST /stop      ends the sandbox; answers when nothing of it runs
 *     GET  /cast      a terminal's recording
 *     GET  /socket    WebSocket of one page (see protocol/messages.ts)
 */
import { readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import pino from 'pino';
import { castType } from '../lessons/cast';
import { LabError } from '../protocol/errors';
import type { EndReason } from '../protocol/session';
import { closeCodes, parseMessage } from '../protocol/messages';
import { castQuerySchema } from '../protocol/http';
import { assignmentSchema, stopRequestSchema } from '../protocol/runner';
import { readSandbox, sandboxFiles } from '../store/sandboxes';
import { Gate } from './delivery/gate';
import { Sandbox } from './sandbox';

/** Recordings sent at the same time. Each holds a copy of a terminal's output for as long as its reader takes. */
const maxCasts = 4;
let castsUnderWay = 0;

const directory = process.argv[2];
if (!directory) throw new Error('usage: runner.js SANDBOX_DIRECTORY');
const files = sandboxFiles(directory);
const spec = await readSandbox(directory);
// Standard output is the sandbox's log file. Writes are synchronous, so a process that ends leaves no lines unwritten.
const log = pino({ base: { sandbox: spec.id } }, pino.destination({ dest: 1, sync: true }));

process.on('uncaughtException', (error) => {
  log.fatal({ err: error }, 'uncaught');
  process.exit(70);
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => void sandbox.end('server-stopped'));
}

const sandbox = new Sandbox(spec, files.run, log, (reason) => {
  void leave(reason);
});

const gate = new Gate((page) => sandbox.connect(page), log);

const server = createServer((request, response) => {
  void answer(request, response);
});
server.on('upgrade', (request, socket, head) => {
  gate.admit(request, socket, head);
});
server.listen(files.socket);
log.info('runner listens');
sandbox.start();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const reply = (status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  try {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://runner');
    switch (`${request.method ?? ''} ${pathname}`) {
      case 'GET /status':
        reply(200, await sandbox.report());
        break;
      case 'PUT /session':
        await sandbox.assign(parseMessage(assignmentSchema, await text(request)));
        reply(200, {});
        break;
      case 'POST /lease':
        sandbox.renewLease();
        reply(200, await sandbox.report());
        break;
      case 'GET /cast': {
        const { terminal } = castQuerySchema.parse(Object.fromEntries(searchParams));
        await sendCast(sandbox.cast(terminal), response);
        break;
      }
      case 'POST /stop':
        await sandbox.end(parseMessage(stopRequestSchema, await text(request)).reason);
        reply(200, {});
        break;
      default:
        reply(404, { error: new LabError('bad-message', 'No such request.').toWire() });
    }
  } catch (error) {
    const failure = LabError.from(error, 'The runner could not handle the request');
    log.warn({ err: failure, url: request.url }, 'request failed');
    reply(400, { error: failure.toWire() });
  }
}

/** Sends a recording as fast as it is read. @throws LabError `overloaded` while {@link maxCasts} are being sent */
async function sendCast(lines: Iterable<string>, response: ServerResponse): Promise<void> {
  if (castsUnderWay >= maxCasts) {
    throw new LabError('overloaded', `${maxCasts} recordings are being downloaded, which is the limit.`, {
      hint: 'Try again when one of them is done.',
    });
  }
  castsUnderWay += 1;
  try {
    response.writeHead(200, { 'content-type': castType });
    await pipeline(Readable.from(lines), response);
  } catch (error) {
    // The response's head was sent, so the reader sees only that the rest was cut.
    log.warn({ err: error }, 'recording not sent');
  } finally {
    castsUnderWay -= 1;
  }
}

/** Removes what the pair wrote. The log and the reason stay for the gateway, which removes the directory. */
async function leave(reason: EndReason): Promise<void> {
  // Before the socket is gone: the gateway reads this when it finds no socket.
  await writeFile(files.ended, reason);
  gate.close(closeCodes.sessionEnded, reason);
  server.close();
  server.closeIdleConnections();
  const kept = new Set([files.log, files.ended]);
  for (const name of await readdir(files.run)) {
    const path = join(files.run, name);
    if (!kept.has(path)) await rm(path, { recursive: true, force: true });
  }
  // Pages that do not answer the close, and pending requests, have this long.
  setTimeout(() => process.exit(0), 1000);
}
