/** Runners as processes on this machine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabError } from '../protocol/errors';
import {
  listSandboxIds,
  readSandbox,
  removeSandbox,
  sandboxDir,
  sandboxFiles,
  writeSandbox,
  type SandboxSpec,
} from '../store/sandboxes';
import { endReasonSchema, type EndReason } from '../protocol/messages';
import type { EndedSandbox, SandboxList, SandboxProvider } from './provider';

/** Node starts in 0.1 to 0.5 s; on a machine full of guests under TCG it took 4 s. */
const launchTimeoutMs = 30_000;
/** A runner ends its two machines in well under a second; after this it is killed, and they die with it. */
const stopTimeoutMs = 10_000;
/** Enough for a stack trace or a few lines of JSON. */
const lastWordsBytes = 2000;

export class LocalProvider implements SandboxProvider {
  /** Sandboxes whose runner is being started: not there yet, and not left over either. */
  private readonly launching = new Set<string>();

  /**
   * @param runnerProgram path of the runner's bundle
   */
  constructor(
    private readonly stateDir: string,
    private readonly runnerProgram: string,
  ) {}

  async launch(spec: SandboxSpec, signal?: AbortSignal): Promise<void> {
    if (await this.answers(spec.id)) return;
    this.launching.add(spec.id);
    try {
      const directory = await writeSandbox(this.stateDir, spec);
      const log = openSync(sandboxFiles(directory).log, 'a');
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
        if (failure !== undefined || Date.now() > deadline || signal?.aborted) {
          const output = await lastWords(directory);
          child.kill('SIGKILL');
          await removeSandbox(directory);
          if (signal?.aborted) throw new LabError('cancelled', 'The launch of a pair was cancelled.');
          throw new LabError('lost', `The pair’s runner did not start: ${failure ?? 'no answer'}.`, {
            hint: 'Try again; if it stays so, look at the server’s log.',
            cause: new Error(output),
          });
        }
        await sleep(25);
      }
    } finally {
      this.launching.delete(spec.id);
    }
  }

  async connect(sandboxId: string): Promise<Socket> {
    const socket = connect(this.socketPath(sandboxId));
    try {
      await once(socket, 'connect');
      return socket;
    } catch (cause) {
      socket.destroy();
      throw new LabError('lost', 'The pair is gone: its runner has ended.', {
        hint: 'Start a new pair.',
        cause,
      });
    }
  }

  async stop(sandboxId: string, reason: EndReason): Promise<void> {
    const directory = sandboxDir(this.stateDir, sandboxId);
    const pid = await this.runnerPid(sandboxId);
    await post(this.socketPath(sandboxId), '/stop', { reason }).catch(() => undefined);
    if (pid !== undefined) {
      const deadline = Date.now() + stopTimeoutMs;
      while ((await this.runnerPid(sandboxId, pid)) !== undefined && Date.now() < deadline) await sleep(25);
      if ((await this.runnerPid(sandboxId, pid)) !== undefined) process.kill(pid, 'SIGKILL');
    }
    await removeSandbox(directory);
  }

  async list(): Promise<SandboxList> {
    const running: SandboxSpec[] = [];
    const ended: EndedSandbox[] = [];
    for (const id of await listSandboxIds(this.stateDir)) {
      if (this.launching.has(id)) continue;
      const directory = sandboxDir(this.stateDir, id);
      const spec = await readSandbox(directory).catch(() => undefined);
      if (spec && (await this.answers(id))) {
        running.push(spec);
        continue;
      }
      const said = await readFile(sandboxFiles(directory).ended, 'utf8').catch(() => undefined);
      ended.push({
        id,
        reason: endReasonSchema.safeParse(said).data,
        lastWords: await lastWords(directory),
      });
      await this.stop(id, 'host-lost');
    }
    return { running, ended };
  }

  private socketPath(sandboxId: string): string {
    return sandboxFiles(sandboxDir(this.stateDir, sandboxId)).socket;
  }

  private async answers(sandboxId: string): Promise<boolean> {
    try {
      (await this.connect(sandboxId)).destroy();
      return true;
    } catch {
      return false;
    }
  }

  /**
   * The runner's process id while that process is this sandbox's runner: ids are reused, command lines tell.
   * @param known an id read before, for when the file is gone already
   */
  private async runnerPid(sandboxId: string, known?: number): Promise<number | undefined> {
    const directory = sandboxDir(this.stateDir, sandboxId);
    try {
      const pid = known ?? Number(await readFile(sandboxFiles(directory).pid, 'utf8'));
      const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8');
      return commandLine.split('\0').includes(directory) ? pid : undefined;
    } catch {
      return undefined;
    }
  }
}

async function lastWords(directory: string): Promise<string> {
  const text = await readFile(sandboxFiles(directory).log, 'utf8').catch(() => '');
  return text.slice(-lastWordsBytes).trim();
}

/** @throws when the socket does not answer with success in time */
async function post(socketPath: string, path: string, body: unknown): Promise<void> {
  const sent = request({ socketPath, path, method: 'POST', signal: AbortSignal.timeout(stopTimeoutMs) });
  sent.end(JSON.stringify(body));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.resume();
  if (response.statusCode !== 200)
    throw new LabError('lost', `The runner answered ${response.statusCode ?? 0}.`);
}
