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
// Standard output is the sandbox's log file. Synchronous: a process that ends must not have lines left to write.
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
    const failure = LabError.from(error, 'The runner could not do that');
    log.warn({ err: failure, url: request.url }, 'request failed');
    reply(400, { error: failure.toWire() });
  }
}

/** Sends it as fast as it is read. @throws LabError `overloaded` when as many are being sent as may be */
async function sendCast(lines: Iterable<string>, response: ServerResponse): Promise<void> {
  if (castsUnderWay >= maxCasts) {
    throw new LabError('overloaded', `${maxCasts} recordings are being downloaded, and no more can be now.`, {
      hint: 'Try again when one has arrived.',
    });
  }
  castsUnderWay += 1;
  try {
    response.writeHead(200, { 'content-type': castType });
    await pipeline(Readable.from(lines), response);
  } catch (error) {
    // Its head was sent: all that can be said is that it was cut.
    log.warn({ err: error }, 'recording not sent');
  } finally {
    castsUnderWay -= 1;
  }
}

/** What the pair wrote is gone with it; the log and the reason stay for the gateway, which removes the directory. */
async function leave(reason: EndReason): Promise<void> {
  // Before the socket is gone: who finds no socket reads this.
  await writeFile(files.ended, reason);
  gate.close(closeCodes.sessionEnded, reason);
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
