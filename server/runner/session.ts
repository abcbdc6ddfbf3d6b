/**
 * One session: its pair, terminals, step checks and deadlines, and the clients connected to it. It ends exactly once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { fillValues } from '../lessons/fill';
import type { Block, Lesson, Step } from '../lessons/lesson';
import { LabError, type WireError } from '../protocol/errors';
import { hostNames, type HostName } from '../protocol/hosts';
import type {
  ClientMessage,
  EndReason,
  PairPhase,
  PairStatus,
  ServerMessage,
  StepState,
  TerminalInfo,
} from '../protocol/messages';
import { sessionInfo, type SessionSpec } from '../store/sessions';
import { Pair } from './pair';
import { Terminal, type Attachment, type Viewer } from './terminal';

/** A way to reach one connected page. */
export interface Client {
  send(message: ServerMessage): void;
  /** Opens a viewer that puts the terminal's bytes into this client's frames. */
  viewer(terminal: Terminal): Viewer;
}

interface Connection {
  client: Client;
  attachments: Map<string, Attachment>;
}

/** A check takes 0.2 to 3 s under TCG; one that hangs must not hold up the others for long. */
const checkTimeoutMs = 60_000;
/** Checks repeat this often after activity, for states that a command leaves behind it (a web application that starts). */
const checkIntervalMs = 3_000;
/** After this long without activity nothing on the hosts changes by itself that a lesson waits for. */
const checkAfterActivityMs = 120_000;
/** A pair that is lost keeps its session this long, so that the page can tell what happened. */
const lostGraceMs = 120_000;
/** Results of the last runs, so that a click that is sent again is not executed again. */
const rememberedRuns = 500;

export class Session {
  private readonly connections = new Set<Connection>();
  private readonly terminals: Terminal[];
  private readonly steps: Map<string, StepState>;
  private readonly ran = new Set<string>();
  private readonly runResults = new Map<string, Extract<ServerMessage, { type: 'run' }>>();
  private readonly startedAt = Date.now();
  private readonly ending = new AbortController();
  private values: Record<string, string> = {};
  private status: PairStatus = { phase: 'cloning', elapsedMs: 0 };
  private pair: Pair | undefined;
  private lastActivityMs = Date.now();
  private lastLeaseMs = Date.now();
  private lostAtMs: number | undefined;
  private checking: Promise<void> | undefined;
  private checkWanted = false;
  private endedWith: EndReason | undefined;

  /**
   * @param onEnd called once, after everything that belongs to the session is gone
   */
  constructor(
    private readonly spec: SessionSpec,
    private readonly directory: string,
    private readonly lesson: Lesson,
    private readonly log: Logger,
    private readonly onEnd: (reason: EndReason) => void,
  ) {
    this.steps = new Map(
      lesson.steps.map((step) => [step.id, { state: 'open', message: '', checkedAtMs: null }]),
    );
    this.terminals = hostNames.map((host, channel) => {
      const terminal: Terminal = new Terminal(
        host,
        host,
        channel,
        {
          onMark: (mark) => {
            if (mark.kind === 'prompt') this.wantCheck();
            if (mark.kind !== 'command-end') {
              this.broadcast({ type: 'prompt', terminal: terminal.id, idle: terminal.idle });
            }
          },
          onExit: () => void this.replaceShell(terminal),
        },
        spec.scrollbackBytes,
      );
      return terminal;
    });
  }

  /** Makes the pair and opens the terminals; failures are told to the clients, not thrown. */
  async start(): Promise<void> {
    void this.watchDeadlines();
    try {
      const pair = await Pair.clone(this.directory, this.spec.templateDir, (phase) => {
        this.setPhase(phase);
      });
      if (this.ending.signal.aborted) {
        await pair.destroy();
        return;
      }
      this.pair = pair;
      for (const terminal of this.terminals)
        terminal.open(pair.channel(terminal.host).attachCommand(terminal.id));
      this.setPhase('ready');
      void this.watchHosts(pair);
      void this.repeatChecks();
    } catch (error) {
      this.fail(LabError.from(error, 'The pair could not be started'));
    }
  }

  connect(client: Client): {
    receive(message: ClientMessage): void;
    input(channel: number, bytes: Uint8Array): void;
    close(): void;
  } {
    const connection: Connection = { client, attachments: new Map() };
    this.connections.add(connection);
    this.touch();
    client.send({
      type: 'hello',
      session: sessionInfo(this.spec),
      pair: { ...this.status, elapsedMs: this.elapsedMs() },
      terminals: this.terminals.map((terminal): TerminalInfo => ({
        id: terminal.id,
        host: terminal.host,
        channel: terminal.channel,
        offset: terminal.endOffset,
      })),
      steps: Object.fromEntries(this.steps),
      values: this.values,
      ran: [...this.ran],
      deadline: { ...sessionInfo(this.spec), idleEndsAtMs: null },
      saves: [],
    });
    for (const terminal of this.terminals) {
      client.send({ type: 'prompt', terminal: terminal.id, idle: terminal.idle });
    }
    return {
      receive: (message) => {
        this.receive(connection, message);
      },
      input: (channel, bytes) => {
        const terminal = this.terminals[channel];
        if (!terminal) throw new LabError('bad-message', `There is no terminal on channel ${channel}.`);
        this.touch();
        terminal.write(bytes);
      },
      close: () => {
        this.connections.delete(connection);
        for (const attachment of connection.attachments.values()) attachment.detach();
      },
    };
  }

  /** The gateway is alive and wants this session to go on. */
  renewLease(): void {
    this.lastLeaseMs = Date.now();
  }

  async end(reason: EndReason): Promise<void> {
    if (this.endedWith) return;
    this.endedWith = reason;
    this.log.info({ reason }, 'session ends');
    this.ending.abort();
    this.setPhase('ended');
    this.broadcast({ type: 'ended', reason });
    for (const terminal of this.terminals) terminal.close();
    await this.pair?.destroy();
    this.onEnd(reason);
  }

  private receive(connection: Connection, message: ClientMessage): void {
    switch (message.type) {
      case 'attach': {
        const terminal = this.terminal(message.terminal);
        connection.attachments.get(terminal.id)?.detach();
        terminal.resize(message.columns, message.rows);
        connection.attachments.set(
          terminal.id,
          terminal.attach(connection.client.viewer(terminal), message.offset),
        );
        break;
      }
      case 'resize':
        this.terminal(message.terminal).resize(message.columns, message.rows);
        break;
      case 'ack':
        connection.attachments.get(message.terminal)?.acknowledge(message.offset);
        break;
      case 'run':
        this.touch();
        this.run(message, connection.client);
        break;
      case 'check':
        this.touch();
        void this.check(this.step(message.stepId));
        break;
      case 'here':
        this.touch();
        break;
      case 'rewind':
        throw new LabError('no-saved-state', 'There is no saved state of this step.');
    }
  }

  private run(message: Extract<ClientMessage, { type: 'run' }>, client: Client): void {
    const known = this.runResults.get(message.runId);
    if (known) {
      client.send(known);
      return;
    }
    const { runId, stepId, block } = message;
    let result: Extract<ServerMessage, { type: 'run' }>;
    try {
      const { terminal, text } = this.prepareRun(this.step(stepId).runs[block]);
      terminal.runCommand(text);
      this.ran.add(`${stepId}/${block}`);
      result = { type: 'run', runId, stepId, block, result: 'typed' };
      this.broadcast(result);
    } catch (error) {
      const refused = LabError.from(error, 'The command was not typed').toWire();
      result = { type: 'run', runId, stepId, block, result: 'refused', error: refused };
      client.send(result);
    }
    this.runResults.set(runId, result);
    const [oldest] = this.runResults.keys();
    if (this.runResults.size > rememberedRuns && oldest !== undefined) this.runResults.delete(oldest);
  }

  /** @throws LabError when the block cannot be typed now; nothing was typed then */
  private prepareRun(block: Block | undefined): { terminal: Terminal; text: string } {
    if (!block) throw new LabError('bad-message', 'The lesson has no such command.');
    if (this.status.phase !== 'ready') {
      throw new LabError('not-ready', 'The hosts are not ready yet.', {
        hint: 'Try again when both have a prompt.',
      });
    }
    const terminal = this.terminal(block.host);
    if (!terminal.idle) {
      throw new LabError(
        'not-at-prompt',
        `The terminal of ${block.host} is busy: a program still runs in it.`,
        {
          hint: 'Wait until its prompt is back, or press Ctrl-C in it.',
        },
      );
    }
    const names = this.lesson.values.map((value) => value.name);
    const filled = fillValues(block.text, names, this.values);
    if ('missing' in filled) {
      throw new LabError(
        'value-unknown',
        `${filled.missing.map((name) => `<${name}>`).join(', ')} is not known yet.`,
        {
          hint: 'Do the steps before this one first: they make what it stands for.',
        },
      );
    }
    return { terminal, text: filled.text };
  }

  private async check(step: Step): Promise<void> {
    const pair = this.pair;
    if (!pair || this.status.phase !== 'ready') return;
    let passed = true;
    let message = '';
    for (const check of step.checks) {
      const result = await this.onHost(pair, check.host, check.text);
      message = result.message;
      if (!result.ok) {
        passed = false;
        break;
      }
    }
    const before = this.steps.get(step.id);
    if (before?.state === 'passed' && !passed) return;
    const state: StepState = { state: passed ? 'passed' : 'open', message, checkedAtMs: Date.now() };
    this.steps.set(step.id, state);
    this.broadcast({ type: 'step', stepId: step.id, step: state });
    if (passed && before?.state !== 'passed') {
      this.log.info({ step: step.id }, 'step passed');
      this.wantCheck();
    }
  }

  private async onHost(
    pair: Pair,
    host: HostName,
    script: string,
  ): Promise<{ ok: boolean; message: string; stdout: string }> {
    try {
      const result = await pair
        .channel(host)
        .run(script, { timeoutMs: checkTimeoutMs, signal: this.ending.signal });
      const message = result.stdout.trim().split('\n').at(-1) ?? '';
      return { ok: result.exitCode === 0, message, stdout: result.stdout };
    } catch (error) {
      return { ok: false, message: LabError.from(error, `A check on ${host} failed`).message, stdout: '' };
    }
  }

  private async readValues(pair: Pair): Promise<void> {
    const values = { ...this.values };
    for (const value of this.lesson.values) {
      const result = await this.onHost(pair, value.host, value.text);
      const text = result.stdout.trim();
      // One word: it is typed into a root shell, and the guest that prints it is not to be trusted with more.
      if (result.ok && /^[\w.:/@%+-]{1,200}$/.test(text)) values[value.name] = text;
    }
    if (JSON.stringify(values) === JSON.stringify(this.values)) return;
    this.values = values;
    this.broadcast({ type: 'values', values });
  }

  /** Asks for the values and the first open step's check; requests that come while these run are one more round. */
  private wantCheck(): void {
    this.checkWanted = true;
    this.checking ??= this.runWantedChecks().finally(() => {
      this.checking = undefined;
    });
  }

  private async runWantedChecks(): Promise<void> {
    while (this.checkWanted && !this.ending.signal.aborted) {
      this.checkWanted = false;
      const pair = this.pair;
      if (!pair || this.status.phase !== 'ready') return;
      await this.readValues(pair);
      const current = this.lesson.steps.find((step) => this.steps.get(step.id)?.state === 'open');
      if (current) await this.check(current);
    }
  }

  private async repeatChecks(): Promise<void> {
    while (await this.pause(checkIntervalMs)) {
      if (this.connections.size > 0 && Date.now() - this.lastActivityMs < checkAfterActivityMs)
        this.wantCheck();
    }
  }

  private async watchDeadlines(): Promise<void> {
    while (await this.pause(1000)) {
      const now = Date.now();
      if (now >= this.spec.endsAtMs) return this.end('total-time');
      if (now - this.lastActivityMs > this.spec.idleTimeoutMs) return this.end('idle');
      if (now - this.lastLeaseMs > this.spec.leaseMs) return this.end('server-stopped');
      if (this.lostAtMs !== undefined && now - this.lostAtMs > lostGraceMs) return this.end('host-lost');
    }
  }

  private async watchHosts(pair: Pair): Promise<void> {
    const host = await pair.hostLost();
    if (this.ending.signal.aborted) return;
    await pair.destroy();
    this.fail(
      new LabError(
        'lost',
        `The host ${host} has stopped: it was powered off, crashed, or its machine was killed.`,
        {
          hint: 'Start a new pair; what was on the old one is gone.',
        },
      ),
    );
  }

  /** The learner left the shell, or its host restarts: give the terminal a new one. */
  private async replaceShell(terminal: Terminal): Promise<void> {
    const pair = this.pair;
    if (!pair || this.status.phase !== 'ready' || this.ending.signal.aborted) return;
    terminal.notice('this shell has ended; a new one starts');
    this.broadcast({ type: 'prompt', terminal: terminal.id, idle: false });
    try {
      const channel = pair.channel(terminal.host);
      await channel.open(300_000);
      if (await this.pause(500)) terminal.open(channel.attachCommand(terminal.id));
    } catch (error) {
      this.log.warn({ err: error }, 'no new shell');
      terminal.notice(`no new shell: ${LabError.from(error, 'login').message}`);
    }
  }

  private fail(error: LabError): void {
    this.log.error({ err: error }, 'pair lost');
    this.lostAtMs = Date.now();
    this.setPhase('failed', error.toWire());
  }

  private setPhase(phase: PairPhase, error?: WireError): void {
    this.status = { phase, elapsedMs: this.elapsedMs(), ...(error ? { error } : {}) };
    this.log.info(this.status, 'pair');
    this.broadcast({ type: 'pair', pair: this.status });
  }

  private elapsedMs(): number {
    return Date.now() - this.startedAt;
  }

  private touch(): void {
    this.lastActivityMs = Date.now();
  }

  private broadcast(message: ServerMessage): void {
    for (const { client } of this.connections) client.send(message);
  }

  private terminal(id: string): Terminal {
    const terminal = this.terminals.find((candidate) => candidate.id === id);
    if (!terminal) throw new LabError('bad-message', `There is no terminal ${id}.`);
    return terminal;
  }

  private step(id: string): Step {
    const step = this.lesson.steps.find((candidate) => candidate.id === id);
    if (!step) throw new LabError('bad-message', `The lesson has no step ${id}.`);
    return step;
  }

  /** @returns false when the session ended meanwhile */
  private async pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: this.ending.signal }).catch(() => undefined);
    return !this.ending.signal.aborted;
  }
}
