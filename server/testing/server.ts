/** `npm start`'s server as a process of its own, for tests that kill it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { processesOf, sandboxesOf } from './remains';
import { root } from '../root';

const program = join(root, 'dist', 'lab.js');

export interface TestServer {
  readonly url: string;
  readonly stateDir: string;
  /** Starts it again, on the same port and state. */
  start(): Promise<void>;
  /** Runs a second one beside it, to its end. */
  startSecond(): Promise<{ exitCode: number | undefined; output: string }>;
  /** Process id of the server alone. */
  pid(): number | undefined;
  /** SIGKILL to the server alone. */
  kill(): Promise<void>;
  /** Ctrl-C, until it has ended. */
  stop(): Promise<void>;
  /** Stops it and removes its state directory. */
  remove(): Promise<void>;
  processes(): string[];
  sessions(): string[];
}

export interface TestServerOptions {
  /** Configuration that the test is about, as environment variables. */
  environment?: Readonly<Record<string, string>>;
  /** Where it listens; a free port unless told. */
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
        const told = /Live Migration Lab: +(\S+)/.exec(output)?.[1];
        if (told === undefined) return;
        url = told;
        // With an address of its own before it, such as a proxy's, the port was given.
        if (port === 0) port = Number(new URL(url).port);
        serving();
      });
      void started.then(() => {
        ended(new Error(`The server ended before it served:\n${output}`));
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
