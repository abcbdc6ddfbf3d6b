/** The front door: the only thing that listens on the network. It keeps no terminal state. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import next from 'next';
import type { Logger } from 'pino';
import type { Config } from '../config';
import { listLessons } from '../lessons/load';
import { LabError } from '../protocol/errors';
import type { EndReason } from '../protocol/session';
import { labInfoSchema, type LabInfo } from '../protocol/http';
import { Isolation, type IsolationReport } from '../providers/isolation';
import { LocalProvider } from '../providers/local';
import { leaseDirectory } from '../store/leases';
import { checkStateDir } from '../store/sandboxes';
import { createApi } from './api';
import { startOperations } from './operations';
import { RateLimits } from './rate-limits';
import { SecurityHeaders } from './security-headers';
import { Sessions } from './sessions';
import { proxySocket, socketTarget } from './socket-proxy';
import { Handovers } from './handovers';
import { Tickets } from './tickets';
import { ViewerSockets } from './viewer-sockets';

export interface GatewayOptions {
  config: Config;
  lab: LabInfo & { templateDir: string; lessonTemplateDirs: ReadonlyMap<string, string> };
  lessonsDir: string;
  /** Directory of next.config.js and the built site; undefined serves the API alone, for tests that need no pages. */
  siteDir: string | undefined;
  /** The runner's bundle. */
  runnerProgram: string;
  log: Logger;
}

export interface Gateway {
  url: string;
  /** Metrics, health, readiness: for this machine alone. */
  operationsUrl: string;
  /** How far sessions are confined. */
  isolation: IsolationReport;
  /**
   * Closes the door.
   * @param reason told to the pages of all sessions, which end; undefined leaves them running for the next server
   */
  stop(reason: EndReason | undefined): Promise<void>;
}

/** @throws LabError `port-in-use`, `bad-config`, `bad-lesson` */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, lab, lessonsDir, log } = options;
  checkStateDir(config.stateDir);
  const lessonIds = new Set((await listLessons(lessonsDir)).map((lesson) => lesson.id));
  const isolation = await Isolation.probe(config);
  isolation.requireConfigured();
  const provider = new LocalProvider(config, options.runnerProgram, isolation);
  const sources = {
    lessonsDir,
    baseTemplateDir: lab.templateDir,
    lessonTemplateDirs: lab.lessonTemplateDirs,
    accelerator: lab.accelerator,
  };
  const sessions = new Sessions(config, sources, provider, leaseDirectory(config.stateDir), log);
  const tickets = new Tickets();
  const handovers = new Handovers();
  const viewers = new ViewerSockets();
  const origins = new Set<string>();
  const isHttps = config.publicOrigin?.startsWith('https:') ?? false;
  const headers = await SecurityHeaders.read(options.siteDir);

  const server = createServer();
  const site = options.siteDir === undefined ? undefined : next({ dir: options.siteDir, httpServer: server });
  // The listeners come before the port: nothing would answer a request that finds none.
  await Promise.all([site?.prepare(), sessions.start()]);
  const api = getRequestListener(
    createApi({
      sessions,
      tickets,
      handovers,
      viewers,
      provider,
      scrollbackBytes: config.scrollbackBytes,
      limits: new RateLimits(config.maxSessionsPerAddress),
      lab: labInfoSchema.parse(lab),
      lessonIds,
      origins,
      isHttps,
      trustedProxies: config.trustedProxies,
      log,
    }).fetch,
  );
  const page = site?.getRequestHandler();
  server.on('request', (request, response) => {
    if (request.url?.startsWith('/api/')) {
      headers.forData(response);
      void api(request, response);
    } else if (page) {
      headers.forPage(request, response);
      void page(request, response);
    } else {
      response.writeHead(404).end();
    }
  });
  server.on('upgrade', (request, socket, head) => {
    if (socketTarget(request.url)) {
      const options = { sessions, tickets, viewers, provider, origins, isHttps, log };
      void proxySocket(request, socket, head, options);
    } else {
      socket.destroy();
    }
  });
  let operations: Awaited<ReturnType<typeof startOperations>>;
  try {
    operations = await startOperations(config.metricsPort, sessions);
    await listen(server, config);
  } catch (error) {
    await sessions.stop(undefined);
    await site?.close();
    throw error;
  }
  const port = (server.address() as AddressInfo).port;
  const url = config.publicOrigin ?? `http://localhost:${port}`;
  origins.add(new URL(url).origin);
  if (config.publicOrigin === undefined) origins.add(`http://127.0.0.1:${port}`);
  log.info({ url, operations: operations.url, isolation: isolation.report.level }, 'gateway listens');

  return {
    url,
    operationsUrl: operations.url,
    isolation: isolation.report,
    async stop(reason) {
      server.close();
      operations.server.close();
      operations.server.closeAllConnections();
      await sessions.stop(reason);
      server.closeAllConnections();
      await site?.close();
    },
  };
}

async function listen(server: ReturnType<typeof createServer>, config: Config): Promise<void> {
  server.listen(config.port, config.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const inUse = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE';
    if (!inUse) throw LabError.from(cause, `Listening on ${config.host}:${config.port}`);
    throw new LabError('port-in-use', `Another program uses port ${config.port}.`, {
      hint: 'Stop it, or choose another: npm start -- --port 3001',
      cause,
    });
  }
}
