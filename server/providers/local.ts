/** Runners as processes on this machine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabError } from '../protocol/errors';
import type { EndReason } from '../protocol/messages';
import {
  listSessionIds,
  readSession,
  removeSession,
  sessionDir,
  sessionFiles,
  writeSession,
  type SessionSpec,
} from '../store/sessions';
import type { SandboxProvider } from './provider';

/** Node starts in 0.1 to 0.5 s; on a machine full of guests under TCG it took 4 s. */
const launchTimeoutMs = 30_000;
/** A runner ends its two machines in well under a second; after this it is killed, and they die with it. */
const stopTimeoutMs = 10_000;

export class LocalProvider implements SandboxProvider {
  /** Sessions whose runner is being started: not there yet, and not left over either. */
  private readonly launching = new Set<string>();

  /**
   * @param runnerProgram path of the runner's bundle
   */
  constructor(
    private readonly stateDir: string,
    private readonly runnerProgram: string,
  ) {}

  async launch(spec: SessionSpec): Promise<void> {
    if (await this.answers(spec.id)) return;
    this.launching.add(spec.id);
    try {
      const directory = await writeSession(this.stateDir, spec);
      const log = openSync(join(directory, 'runner.err'), 'a');
      // Detached: the runner outlives the gateway.
      const child = spawn(process.execPath, [this.runnerProgram, directory], {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log, log],
      });
      closeSync(log);
      child.unref();
      let failure: string | undefined;
      child.once('error', (error) => (failure = error.message));
      child.once('exit', (code) => (failure = `it ended with code ${code ?? 'none'}`));
      const deadline = Date.now() + launchTimeoutMs;
      while (!(await this.answers(spec.id))) {
        if (failure !== undefined || Date.now() > deadline) {
          const output = await readFile(join(directory, 'runner.err'), 'utf8').catch(() => '');
          child.kill('SIGKILL');
          await removeSession(directory);
          throw new LabError('lost', `The session's runner did not start: ${failure ?? 'no answer'}.`, {
            hint: 'Try again; if it stays so, look at the server’s log.',
            cause: new Error(output.trim()),
          });
        }
        await sleep(25);
      }
    } finally {
      this.launching.delete(spec.id);
    }
  }

  async connect(sessionId: string): Promise<Socket> {
    const socket = connect(this.socketPath(sessionId));
    try {
      await once(socket, 'connect');
      return socket;
    } catch (cause) {
      socket.destroy();
      throw new LabError('lost', 'The session is gone: its runner has ended.', {
        hint: 'Start a new pair.',
        cause,
      });
    }
  }

  async stop(sessionId: string, reason: EndReason): Promise<void> {
    const directory = sessionDir(this.stateDir, sessionId);
    const pid = await this.runnerPid(sessionId);
    await post(this.socketPath(sessionId), `/stop?reason=${reason}`, stopTimeoutMs).catch(() => undefined);
    if (pid !== undefined) {
      const deadline = Date.now() + stopTimeoutMs;
      while ((await this.runnerPid(sessionId, pid)) !== undefined && Date.now() < deadline) await sleep(25);
      if ((await this.runnerPid(sessionId, pid)) !== undefined) process.kill(pid, 'SIGKILL');
    }
    await removeSession(directory);
  }

  async list(): Promise<SessionSpec[]> {
    const alive: SessionSpec[] = [];
    for (const id of await listSessionIds(this.stateDir)) {
      if (this.launching.has(id)) continue;
      const directory = sessionDir(this.stateDir, id);
      const spec = await readSession(directory).catch(() => undefined);
      if (spec && (await this.answers(id))) alive.push(spec);
      else await this.stop(id, 'host-lost');
    }
    return alive;
  }

  private socketPath(sessionId: string): string {
    return sessionFiles(sessionDir(this.stateDir, sessionId)).socket;
  }

  private async answers(sessionId: string): Promise<boolean> {
    try {
      (await this.connect(sessionId)).destroy();
      return true;
    } catch {
      return false;
    }
  }

  /**
   * The runner's process id while that process is this session's runner: ids are reused, command lines tell.
   * @param known an id read before, for when the file is gone already
   */
  private async runnerPid(sessionId: string, known?: number): Promise<number | undefined> {
    const directory = sessionDir(this.stateDir, sessionId);
    try {
      const pid = known ?? Number(await readFile(sessionFiles(directory).pid, 'utf8'));
      const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8');
      return commandLine.split('\0').includes(directory) ? pid : undefined;
    } catch {
      return undefined;
    }
  }
}

/** @throws when the socket does not answer with success in time */
async function post(socketPath: string, path: string, timeoutMs: number): Promise<void> {
  const sent = request({ socketPath, path, method: 'POST', signal: AbortSignal.timeout(timeoutMs) });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.resume();
  if (response.statusCode !== 200)
    throw new LabError('lost', `The runner answered ${response.statusCode ?? 0}.`);
}
