/**
 * A runner without a pair, for benchmarks of all that is ours in a terminal: its shells are bash on this machine instead of SSH
 * into a host. Gate, terminals, protocol and sandbox are the real ones. Usage: bench-runner.js SANDBOX_DIRECTORY
 */
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import pino from 'pino';
import { hostNames } from '../protocol/hosts';
import type { SessionInfo } from '../protocol/session';
import { closeCodes, parseMessage } from '../protocol/messages';
import { assignmentSchema, stopRequestSchema, type RunnerStatus } from '../protocol/runner';
import type { Client, Inbox } from '../runner/delivery/page-connection';
import { Gate } from '../runner/delivery/gate';
import { Terminals } from '../runner/terminal/terminals';
import { PageAttachments } from '../runner/delivery/page-attachments';
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

function connect(client: Client): Inbox {
  if (!session) throw new Error('No session was assigned.');
  const viewing = new PageAttachments(client, terminals);
  client.send({
    type: 'hello',
    session,
    sandboxId: spec.id,
    role: client.role,
    pair: { phase: 'ready', elapsedMs: 0 },
    terminals: terminals.infos,
    steps: {},
    values: {},
    runs: [],
    deadline: { endsAtMs: session.endsAtMs, extensionsLeft: 0, idleEndsAtMs: null },
    saves: [],
  });
  return {
    receive: (message) => {
      if (viewing.receive(message) || message.type !== 'open-terminal') return;
      terminals.create(message.host, message.requestId)?.open(localShell);
      client.send({ type: 'terminals', terminals: terminals.infos, requestId: message.requestId });
    },
    input: (channel, offset, bytes) => {
      viewing.input(channel, offset, bytes);
    },
    close: () => {
      viewing.close();
    },
  };
}

const gate = new Gate(connect, log);
const status = (): RunnerStatus => ({
  phase: 'ready',
  lessonId: session?.lessonId ?? null,
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
