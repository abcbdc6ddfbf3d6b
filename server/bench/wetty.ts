/** wetty, the web terminal that the benchmark compares with. It is installed into a temporary directory and is not a dependency. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { size, type Line } from './lines';
import { freePort } from '../free-port';

/** The version that this code knows: it starts its command with `env -S`, and its page acknowledges parsed output in portions of this size. */
const version = '3.2.0';
const committedCharacters = 262_144;

/** The part of a socket.io client that is used. */
interface Socket {
  on(event: string, listener: (data: string) => void): void;
  once(event: string, listener: (data: unknown) => void): void;
  emit(event: string, data: unknown): void;
  disconnect(): void;
}
type Connect = (url: string, options: Record<string, unknown>) => Socket;

export class Wetty {
  readonly #connect: Connect;
  readonly #servers: ChildProcess[] = [];

  private constructor(
    readonly directory: string,
    connect: Connect,
  ) {
    this.#connect = connect;
  }

  static readonly version = version;

  /**
   * Installs wetty.
   * @throws Error that says what is missing, such as a compiler for wetty's copy of node-pty
   */
  static async install(): Promise<Wetty> {
    // wetty runs a configured command only for root, and SSH for all other users.
    if (process.getuid?.() !== 0) throw new Error('wetty runs a configured command only for root');
    const directory = await mkdtemp(join(tmpdir(), 'lab-wetty-'));
    try {
      await writeFile(join(directory, 'package.json'), '{ "private": true }');
      const { failed, all } = await execa(
        'npm',
        ['install', `wetty@${version}`, '--no-audit', '--no-fund', '--loglevel=error'],
        { cwd: directory, all: true, reject: false, stdin: 'ignore', timeout: 600_000 },
      );
      if (failed) throw new Error(`npm could not install wetty ${version}: ${all.trim().slice(-500)}`);
      const client = join(directory, 'node_modules/socket.io-client');
      const { module } = JSON.parse(await readFile(join(client, 'package.json'), 'utf8')) as {
        module: string;
      };
      const loaded = (await import(pathToFileURL(join(client, module)).href)) as { io: Connect };
      return new Wetty(directory, loaded.io);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Starts a server whose terminals run a shell script. @returns its address */
  async serve(script: string): Promise<string> {
    const file = join(this.directory, `command-${this.#servers.length}`);
    await writeFile(file, `#!/bin/sh\n${script}\n`);
    await chmod(file, 0o755);
    const port = await freePort();
    const main = join(this.directory, 'node_modules/wetty/build/main.js');
    const server = spawn(
      process.execPath,
      [main, '--host', '127.0.0.1', '--port', String(port), '--base', '/', '--command', file],
      { stdio: 'ignore', env: { ...process.env, NODE_ENV: 'production' } },
    );
    this.#servers.push(server);
    const url = `http://127.0.0.1:${port}`;
    for (let tried = 0; tried < 200; tried++) {
      const answer = await fetch(url).catch(() => undefined);
      if (answer?.ok) return url;
      await sleep(100);
    }
    throw new Error('wetty started but does not answer');
  }

  /** Process ids of its servers. */
  get processIds(): number[] {
    return this.#servers.flatMap(({ pid }) => pid ?? []);
  }

  /** Opens a terminal in the same way as wetty's page. */
  async line(url: string): Promise<Line> {
    const socket = this.#connect(url, { path: '/socket.io', transports: ['websocket'], forceNew: true });
    const line: Line = {
      onData: () => undefined,
      send: (text) => {
        socket.emit('input', text);
      },
      close: () => {
        socket.disconnect();
      },
    };
    let uncommitted = 0;
    socket.on('data', (text) => {
      line.onData(text);
      uncommitted += text.length;
      while (uncommitted >= committedCharacters) {
        uncommitted -= committedCharacters;
        socket.emit('commit', committedCharacters);
      }
    });
    await new Promise<void>((opened, fail) => {
      socket.once('login', () => {
        opened();
      });
      socket.once('connect_error', (error) => {
        fail(error instanceof Error ? error : new Error(String(error)));
      });
    });
    socket.emit('resize', { cols: size.columns, rows: size.rows });
    return line;
  }

  async remove(): Promise<void> {
    for (const server of this.#servers) {
      if (server.exitCode !== null) continue;
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}
