/** Runs the server of `npm start` as a separate process, for tests that kill it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { processesOf, sandboxesOf } from './leftovers';
import { root } from '../root';

const program = join(root, 'dist', 'lab.js');

export interface TestServer {
  readonly url: string;
  readonly stateDir: string;
  /** Starts it again, on the same port and state. */
  start(): Promise<void>;
  /** Runs a second server beside it and waits until that exits. */
  startSecond(): Promise<{ exitCode: number | undefined; output: string }>;
  /** Process id of the server itself. */
  pid(): number | undefined;
  /** Sends SIGKILL to the server only. */
  kill(): Promise<void>;
  /** Stops it as Ctrl-C would, and waits until it has ended. */
  stop(): Promise<void>;
  /** Stops it and removes its state directory. */
  remove(): Promise<void>;
  processes(): string[];
  sessions(): string[];
}

export interface TestServerOptions {
  /** Configuration for the test, as environment variables. */
  environment?: Readonly<Record<string, string>>;
  /** Port of the site; a free port by default. */
  port?: number;
}

/** Starts the server with a state directory of its own, and waits until it serves. */
export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const stateDir = await mkdtemp(join(tmpdir(), 'lab-'));
  const run = (port: number) =>
    execa(process.execPath, [program, 'start', '--port', String(port)], {
      env: { LAB_STATE_DIR: stateDir, LAB_METRICS_PORT: '0', ...options.environment },
      all: true,
      reject: false,
    });

  let url = '';
  let { port = 0 } = options;
  let server: ReturnType<typeof run> | undefined;
  const start = async (): Promise<void> => {
    const started = run(port);
    server = started;
    let output = '';
    await new Promise<void>((serving, ended) => {
      started.all.on('data', (data: Buffer) => {
        output += data.toString();
        const shownUrl = /Live Migration Lab: +(\S+)/.exec(output)?.[1];
        if (shownUrl === undefined) return;
        url = shownUrl;
        // Keep the port for restarts. With a public origin, such as a proxy's, the test has chosen the port.
        if (port === 0) port = Number(new URL(url).port);
        serving();
      });
      void started.then(() => {
        ended(new Error(`The server ended before it was ready:\n${output}`));
      });
    });
  };
  await start();

  const stop = async (): Promise<void> => {
    server?.kill('SIGINT');
    await server;
    server = undefined;
  };

  return {
    get url() {
      return url;
    },
    stateDir,
    start,
    stop,
    async startSecond() {
      const { exitCode, all } = await run(0);
      return { exitCode, output: all };
    },
    pid: () => server?.pid,
    async kill() {
      server?.kill('SIGKILL');
      await server;
    },
    async remove() {
      await stop();
      await rm(stateDir, { recursive: true });
    },
    processes: () => processesOf(stateDir),
    sessions: () => sandboxesOf(stateDir),
  };
}
