/**
 * A runner without a pair, for benchmarks of the lab's own part of a terminal: its shells are bash on this machine instead of SSH to
 * a host. Gate, terminals, protocol and sandbox are the real ones. Usage: bench-runner.js SANDBOX_DIRECTORY
 */
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import pino from 'pino';
import { LabError } from '../protocol/errors';
import { hostNames } from '../protocol/hosts';
import type { SessionInfo } from '../protocol/session';
import { closeCodes, parseMessage } from '../protocol/messages';
import { assignmentSchema, stopRequestSchema, type RunnerStatus } from '../protocol/runner';
import { Gate } from '../runner/delivery/gate';
import type { PageConnection, PageHandler } from '../runner/delivery/page-connection';
import { PageMessages, type PageRequests } from '../runner/delivery/page-messages';
import { Pages } from '../runner/pages';
import { Terminals } from '../runner/terminal/terminals';
import { readSandbox, sandboxFiles } from '../store/sandboxes';
import { localShell } from './lines';

const directory = process.argv[2];
if (!directory) throw new Error('usage: bench-runner.js SANDBOX_DIRECTORY');
const files = sandboxFiles(directory);
const spec = await readSandbox(directory);
const log = pino(pino.destination({ dest: 1, sync: true }));

const terminals = new Terminals(spec.maxTerminals, spec.scrollbackBytes, () => ({
  onIdle: () => undefined,
  onPrompt: () => undefined,
  onRun: () => undefined,
  onExit: () => undefined,
}));
for (const terminal of terminals) terminal.open(localShell);
let session: SessionInfo | undefined;
const pages = new Pages();

/** Requests that need a lesson or a pair, of which there is none. */
function refuse(): never {
  throw new LabError('bad-message', 'The benchmark’s runner has no lesson and no pair.');
}

const requests: PageRequests = {
  noteActivity: () => undefined,
  openTerminal: (page, host, requestId) => {
    terminals.create(host, requestId)?.open(localShell);
    page.send({ type: 'terminals', terminals: terminals.infos, requestId });
  },
  closeTerminal: (id) => {
    const terminal = terminals.find(id);
    if (terminal) terminals.remove(terminal);
  },
  renameTerminal: refuse,
  run: refuse,
  check: refuse,
  rewind: refuse,
};

function connect(page: PageConnection): PageHandler {
  if (!session) throw new LabError('no-session', 'No session was assigned.');
  const messages = new PageMessages(page, terminals, requests);
  page.send({
    type: 'hello',
    session,
    sandboxId: spec.id,
    role: page.role,
    pair: { phase: 'ready', elapsedMs: 0 },
    terminals: terminals.infos,
    steps: {},
    values: {},
    runs: [],
    deadline: { endsAtMs: session.endsAtMs, extensionsLeft: 0, idleEndsAtMs: null },
    saves: [],
  });
  pages.add(page);
  return {
    receive: (message) => {
      messages.receive(message);
    },
    input: (channel, offset, bytes) => {
      messages.input(channel, offset, bytes);
    },
    close: () => {
      pages.remove(page);
      messages.close();
    },
  };
}

const gate = new Gate(connect, log);
const status = (): RunnerStatus => ({
  phase: 'ready',
  lessonId: session?.lessonId ?? null,
  sessionId: session?.id ?? null,
  connections: 0,
  memoryBytes: 0,
  cpuSeconds: 0,
  readyMs: 0,
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const reply = (body: unknown) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.url === '/session') session = parseMessage(assignmentSchema, await text(request));
  if (request.url !== '/stop') {
    reply(request.url === '/session' ? {} : status());
    return;
  }
  const { reason } = parseMessage(stopRequestSchema, await text(request));
  await writeFile(files.ended, reason);
  pages.broadcast({ type: 'ended', reason });
  gate.close(closeCodes.sessionEnded, reason);
  for (const host of hostNames) terminals.find(host)?.dispose();
  reply({});
  setTimeout(() => process.exit(0), 100);
}

const server = createServer((request, response) => void answer(request, response));
server.on('upgrade', (request, socket, head) => {
  gate.admit(request, socket, head);
});
server.listen(files.socket);
