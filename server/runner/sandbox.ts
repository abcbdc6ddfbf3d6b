/**
 * One pair and everything around it: its terminals, the learner's place in the lesson, deadlines, and the clients connected
 * to it. It begins in the pool, belonging to nobody; is assigned to one session once; and ends exactly once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { fillValues } from '../lessons/fill';
import type { Lesson, Step } from '../lessons/lesson';
import { loadLesson } from '../lessons/load';
import { LabError, type WireError } from '../protocol/errors';
import { hostNames, type HostName } from '../protocol/hosts';
import type { Deadline, EndReason, PairPhase, PairStatus } from '../protocol/session';
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import type { Assignment, RunnerStatus } from '../protocol/runner';
import type { SandboxSpec } from '../store/sandboxes';
import { Pair } from './pair';
import { Progress } from './checks/progress';
import { castOf } from './terminal/recording';
import type { Client, Inbox } from './delivery/page-connection';
import { History } from './rewind/saved-states';
import { Runs, type RunRequest } from './checks/runs';
import type { Terminal } from './terminal/terminal';
import { Terminals } from './terminal/terminals';
import { usageOf } from './usage';
import { PageAttachments } from './delivery/page-attachments';

/** One connected page. */
interface Page {
  client: Client;
  attachments: PageAttachments;
}

/** Whose the pair is, from the moment of the assignment on. */
interface Tenancy {
  assignment: Assignment;
  progress: Progress;
}

/**
 * After the answers of a round, and activity, comes the next so much later, for states that a command leaves behind it (a web
 * application that starts). Under TCG a round takes 0.15 s of a host's processor.
 */
const checkIntervalMs = 3_000;
/** After this long without activity nothing on the hosts changes by itself that a lesson waits for. */
const checkAfterActivityMs = 120_000;
/** A pair that is lost keeps its session this long, so that the page can tell what happened. */
const lostGraceMs = 120_000;
/** Writing a lesson's files takes a tenth of a second under TCG. */
const provisionTimeoutMs = 60_000;
/** A shell of a terminal that was closed ends within this, or stays behind on its host. */
const closeTimeoutMs = 20_000;

export class Sandbox {
  private readonly pages = new Set<Page>();
  private readonly terminals: Terminals;
  private readonly runs = new Runs();
  private readonly startedAt = Date.now();
  private readonly ending = new AbortController();
  private readonly history: History;
  private tenancy: Tenancy | undefined;
  private status: PairStatus = { phase: 'cloning', elapsedMs: 0 };
  private pair: Pair | undefined;
  private readyMs: number | null = null;
  private lastActivityMs = Date.now();
  private lastConnectedMs = Date.now();
  private lastLeaseMs = Date.now();
  private lostAtMs: number | undefined;
  private warnedOfIdle = false;
  private starting: Promise<void> = Promise.resolve();
  private endedWith: EndReason | undefined;

  /**
   * @param directory where everything goes that the pair makes
   * @param onEnd called once, after everything that belongs to the session is gone
   */
  constructor(
    private readonly spec: SandboxSpec,
    private readonly directory: string,
    private readonly log: Logger,
    private readonly onEnd: (reason: EndReason) => void,
  ) {
    this.history = new History(directory, spec.savedStatesMiB * 1024 * 1024, log);
    this.terminals = new Terminals(spec.maxTerminals, spec.scrollbackBytes, (terminal) => ({
      onIdle: (idle) => {
        this.broadcast({ type: 'prompt', terminal: terminal().id, idle });
      },
      onPrompt: () => {
        this.onPrompt();
      },
      onRun: (runId, state) => {
        const run = this.runs.note(runId, state);
        if (run) this.broadcast({ type: 'run', run });
      },
      onExit: () => void this.replaceShell(terminal()),
    }));
  }

  /** Makes the pair and opens the terminals; failures are told to the clients, not thrown. */
  start(): void {
    void this.watchDeadlines();
    this.starting = this.startPair();
  }

  /**
   * Gives the pair to a session, or changes the deadline of the session that has it.
   * @throws LabError `session-exists` when it is another's, `bad-lesson`
   */
  async assign(assignment: Assignment): Promise<void> {
    if (this.tenancy) {
      if (this.tenancy.assignment.lessonId !== assignment.lessonId) {
        throw new LabError('session-exists', 'This pair has been assigned to another lesson.');
      }
      this.tenancy.assignment = assignment;
      this.broadcast({ type: 'deadline', deadline: this.deadline(this.tenancy) });
      return;
    }
    const lesson = await loadLesson(this.spec.lessonsDir, assignment.lessonId);
    const runOnHost = (host: HostName, scripts: readonly string[], timeoutMs: number) => {
      if (!this.pair || this.status.phase !== 'ready') {
        throw new LabError('not-ready', 'The hosts are not ready.');
      }
      return this.pair.channel(host).runAll(scripts, { timeoutMs, signal: this.ending.signal });
    };
    const progress = new Progress(lesson, runOnHost, {
      onStep: (stepId, step) => {
        this.broadcast({ type: 'step', stepId, step });
      },
      onPassed: (step) => {
        this.log.info({ step: step.id }, 'step passed');
        void this.save(progress, step);
      },
      onValues: (values) => {
        this.broadcast({ type: 'values', values });
      },
    });
    // A pair that is not ready yet is equipped as soon as it is there.
    if (this.pair && this.status.phase === 'ready') await this.provision(this.pair, lesson);
    this.tenancy = { assignment, progress };
    this.lastActivityMs = this.lastConnectedMs = Date.now();
    this.log.info({ lesson: assignment.lessonId }, 'assigned');
    if (this.status.phase === 'ready') progress.wantCheck();
  }

  async report(): Promise<RunnerStatus> {
    const usage = await usageOf(this.pair?.pids ?? []);
    return {
      phase: this.status.phase,
      lessonId: this.tenancy?.assignment.lessonId ?? null,
      connections: this.owners,
      memoryBytes: usage.memoryBytes,
      cpuSeconds: usage.cpuSeconds,
      readyMs: this.readyMs,
    };
  }

  /** @throws LabError `no-session` while the pair is nobody's */
  connect(client: Client): Inbox {
    const tenancy = this.requireTenancy();
    const connection: Page = { client, attachments: new PageAttachments(client, this.terminals) };
    this.pages.add(connection);
    if (client.role === 'owner') this.touch();
    client.send({
      type: 'hello',
      session: tenancy.assignment,
      sandboxId: this.spec.id,
      role: client.role,
      pair: { ...this.status, elapsedMs: this.elapsedMs() },
      terminals: this.terminals.infos,
      ...this.standing(tenancy.progress),
      deadline: this.deadline(tenancy),
      saves: this.history.list(),
    });
    for (const terminal of this.terminals) {
      client.send({ type: 'prompt', terminal: terminal.id, idle: terminal.idle });
    }
    return {
      receive: (message) => {
        if (!connection.attachments.receive(message)) this.receive(connection, message);
      },
      input: (channel, offset, bytes) => {
        this.touch();
        connection.attachments.input(channel, offset, bytes);
      },
      close: () => {
        this.pages.delete(connection);
        if (client.role === 'owner') this.lastConnectedMs = Date.now();
        connection.attachments.close();
      },
    };
  }

  /** What is kept of a terminal's output, as the lines of an asciicast. @throws LabError `no-session`, `bad-message` */
  cast(terminalId: string): Iterable<string> {
    const { lesson } = this.requireTenancy().progress;
    const terminal = this.terminals.get(terminalId);
    return castOf(terminal.log, `${lesson.title}: ${terminal.name}`);
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
    for (const terminal of this.terminals) terminal.dispose();
    await this.starting;
    await this.pair?.destroy();
    this.onEnd(reason);
  }

  private async startPair(): Promise<void> {
    try {
      const pair = await Pair.clone(
        this.directory,
        this.spec.templateDir,
        (phase) => {
          this.setPhase(phase);
        },
        this.ending.signal,
      );
      this.pair = pair;
      if (this.tenancy) await this.provision(pair, this.tenancy.progress.lesson);
      for (const terminal of this.terminals)
        terminal.open(pair.channel(terminal.host).attachCommand(terminal.id));
      this.setPhase('ready');
      void this.watchHosts(pair);
      void this.repeatChecks();
    } catch (error) {
      if (!this.ending.signal.aborted) this.fail(LabError.from(error, 'The pair could not be started'));
    }
  }

  /** Puts the lesson's files on both hosts, which the template has not. @throws LabError `bad-lesson`, `host-unreachable` */
  private async provision(pair: Pair, { files }: Lesson): Promise<void> {
    for (const host of hostNames) {
      const scripts = files.filter((file) => file.host === host).map(({ text }) => text);
      if (scripts.length === 0) continue;
      const script = `set -e\n${scripts.join('\n')}`;
      const options = { timeoutMs: provisionTimeoutMs, signal: this.ending.signal };
      const { exitCode, stderr } = await pair.channel(host).run(script, options);
      if (exitCode !== 0)
        throw new LabError('bad-lesson', `The lesson's files could not be made on ${host}: ${stderr}`);
    }
  }

  private receive(connection: Page, message: ClientMessage): void {
    const { progress } = this.requireTenancy();
    switch (message.type) {
      case 'open-terminal':
        this.touch();
        this.openTerminal(message.host, message.requestId, connection.client);
        break;
      case 'close-terminal':
        this.touch();
        this.closeTerminal(message.terminal);
        break;
      case 'rename-terminal':
        this.touch();
        this.renameTerminal(message.terminal, message.name);
        break;
      case 'run':
        this.touch();
        connection.attachments.activate(message.terminal);
        void this.run(message, connection.client, progress);
        break;
      case 'check': {
        const step = progress.step(message.stepId);
        this.touch();
        if (this.status.phase === 'ready') void progress.check(step);
        break;
      }
      case 'here':
        this.touch();
        break;
      case 'rewind': {
        const step = progress.step(message.stepId);
        this.touch();
        void this.rewind(progress, step, connection.client);
        break;
      }
      default:
        throw new LabError('bad-message', `A message ${message.type} has come to the wrong place.`);
    }
  }

  private openTerminal(host: HostName, requestId: string, client: Client): void {
    try {
      if (!this.pair || this.status.phase !== 'ready') {
        throw new LabError('not-ready', 'The hosts are not ready yet.');
      }
      const terminal = this.terminals.create(host, requestId);
      if (terminal) {
        terminal.open(this.pair.channel(host).attachCommand(terminal.id));
        this.tellTerminals({ client, requestId });
      } else {
        client.send({ type: 'terminals', terminals: this.terminals.infos, requestId });
      }
    } catch (error) {
      client.send({ type: 'error', error: LabError.from(error, 'No terminal was opened').toWire() });
    }
  }

  private closeTerminal(id: string): void {
    const terminal = this.terminals.find(id);
    if (!terminal) return;
    this.terminals.remove(terminal);
    this.tellTerminals();
    if (!this.pair || this.status.phase !== 'ready') return;
    this.pair
      .channel(terminal.host)
      .endShell(terminal.id, closeTimeoutMs)
      .catch((error: unknown) => {
        this.log.warn({ err: error, terminal: id }, 'shell not ended');
      });
  }

  private renameTerminal(id: string, name: string): void {
    const terminal = this.terminals.find(id);
    if (!terminal) return;
    terminal.name = name;
    this.tellTerminals();
  }

  /** @param asked who asked for it, and by which request */
  private tellTerminals(asked?: { client: Client; requestId: string }): void {
    const terminals = this.terminals.infos;
    for (const { client } of this.pages) {
      const requestId = client === asked?.client ? { requestId: asked.requestId } : {};
      client.send({ type: 'terminals', terminals, ...requestId });
    }
  }

  /** A refusal goes to the page that asked; that a command was typed, to all. */
  private async run(request: RunRequest, client: Client, progress: Progress): Promise<void> {
    const { answer, isNew } = this.runs.execute(request, async () => {
      const { terminal, text } = this.prepareRun(request, progress);
      return terminal.typeCommand(text, request.whenBusy, request.runId);
    });
    const message = await answer;
    if (isNew && message.type === 'run') this.broadcast(message);
    else client.send(message);
  }

  /** @throws LabError when the block cannot be typed now; nothing was typed then */
  private prepareRun(request: RunRequest, progress: Progress): { terminal: Terminal; text: string } {
    const block = progress.step(request.stepId).runs[request.block];
    if (!block) throw new LabError('bad-message', 'The lesson has no such command.');
    const terminal = this.terminals.get(request.terminal);
    if (terminal.host !== block.host) {
      throw new LabError(
        'bad-message',
        `This command is for ${block.host}, and the terminal is of ${terminal.host}.`,
      );
    }
    if (this.status.phase !== 'ready') {
      throw new LabError('not-ready', 'The hosts are not ready yet.', {
        hint: 'Try again when both have a prompt.',
      });
    }
    const names = progress.lesson.values.map((value) => value.name);
    const filled = fillValues(block.text, names, progress.values);
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

  /** Keeps the state in which the step after this one begins. */
  private async save(progress: Progress, step: Step): Promise<void> {
    const next = progress.stepAfter(step);
    const pair = this.pair;
    if (!next || !pair || this.status.phase !== 'ready') return;
    await this.history.save(next.id, pair, progress.values, () => {
      return this.status.phase !== 'ready' || progress.hasPassed(next) || this.runs.has(next.id);
    });
    this.broadcast({ type: 'saves', saves: this.history.list() });
  }

  /** Goes back to the beginning of a step; a failure is told to who asked. */
  private async rewind(progress: Progress, step: Step, client: Client): Promise<void> {
    const pair = this.pair;
    const begun = Date.now();
    try {
      // The state that is wanted may be the one that is being saved.
      await this.history.settled();
      if (!pair || this.status.phase !== 'ready') {
        throw new LabError('not-ready', 'The hosts are not ready; they cannot go back now.');
      }
      const isFirst = step === progress.lesson.steps[0];
      const target = isFirst ? undefined : this.history.find(step.id);
      if (!isFirst && !target) {
        throw new LabError('no-saved-state', `The state in which “${step.title}” began was not kept.`, {
          hint: 'Go back to an earlier step, or ask for fresh hosts.',
        });
      }
      this.setPhase('rewinding');
      for (const terminal of this.terminals) terminal.close();
      await pair.rewind(target?.pair);
      if (isFirst) await this.provision(pair, progress.lesson);
      if (this.ending.signal.aborted) return;
      const { steps } = progress.lesson;
      const from = steps.indexOf(step);
      this.history.forgetAfter(steps.slice(from + 1));
      this.runs.forget(steps.slice(from).map(({ id }) => id));
      progress.goBackTo(step.id, target?.values ?? {});
      for (const terminal of this.terminals) {
        terminal.noticeOnFreshScreen(`time went back: both hosts are as they were when “${step.title}” began`);
        terminal.open(pair.channel(terminal.host).attachCommand(terminal.id));
      }
      this.broadcast({ type: 'rewound', stepId: step.id, ...this.standing(progress) });
      this.broadcast({ type: 'saves', saves: this.history.list() });
      this.setPhase('ready');
      this.log.info({ step: step.id, ms: Date.now() - begun }, 'rewound');
      progress.wantCheck();
    } catch (error) {
      const failure = LabError.from(error, 'The hosts could not go back');
      if (this.status.phase === 'rewinding') {
        await pair?.destroy();
        this.fail(failure);
      } else {
        client.send({ type: 'error', error: failure.toWire() });
      }
    }
  }

  private onPrompt(): void {
    if (this.readyMs === null && this.terminals.first.every((terminal) => terminal.idle)) {
      this.readyMs = this.elapsedMs();
      this.log.info({ readyMs: this.readyMs }, 'both prompts');
    }
    if (this.status.phase === 'ready') this.tenancy?.progress.wantCheck();
  }

  private async repeatChecks(): Promise<void> {
    let waitMs = checkIntervalMs;
    while (await this.pause(waitMs)) {
      const leftMs = (this.tenancy?.progress.checkedAtMs ?? 0) + checkIntervalMs - Date.now();
      waitMs = leftMs > 0 ? leftMs : checkIntervalMs;
      if (
        leftMs <= 0 &&
        this.status.phase === 'ready' &&
        this.owners > 0 &&
        Date.now() - this.lastActivityMs < checkAfterActivityMs
      ) {
        this.tenancy?.progress.wantCheck();
      }
    }
  }

  /** Where the learner is in the lesson, as messages carry it. */
  private standing(progress: Progress) {
    return { steps: progress.states, values: { ...progress.values }, runs: this.runs.reports() };
  }

  private deadline({ assignment }: Tenancy): Deadline {
    const idleEndsAtMs = this.lastActivityMs + this.spec.idleTimeoutMs;
    const isNear = idleEndsAtMs - Date.now() < this.spec.endWarningMs;
    return {
      endsAtMs: assignment.endsAtMs,
      extensionsLeft: assignment.extensionsLeft,
      idleEndsAtMs: isNear ? idleEndsAtMs : null,
      warningMs: this.spec.endWarningMs,
    };
  }

  private async watchDeadlines(): Promise<void> {
    while (await this.pause(1000)) {
      const now = Date.now();
      if (now - this.lastLeaseMs > this.spec.leaseMs) return this.end('server-stopped');
      if (this.lostAtMs !== undefined && now - this.lostAtMs > lostGraceMs) return this.end('host-lost');
      if (!this.tenancy) continue;
      if (now >= this.tenancy.assignment.endsAtMs) return this.end('total-time');
      if (now - this.lastActivityMs > this.spec.idleTimeoutMs) return this.end('idle');
      if (this.owners > 0) this.lastConnectedMs = now;
      if (now - this.lastConnectedMs > this.spec.disconnectedTimeoutMs) return this.end('disconnected');
      this.tellOfIdle(this.tenancy);
    }
  }

  private tellOfIdle(tenancy: Tenancy): void {
    const deadline = this.deadline(tenancy);
    const warn = deadline.idleEndsAtMs !== null;
    if (warn === this.warnedOfIdle) return;
    this.warnedOfIdle = warn;
    this.broadcast({ type: 'deadline', deadline });
  }

  private async watchHosts(pair: Pair): Promise<void> {
    const { host, panic } = await pair.hostLost();
    if (this.ending.signal.aborted || this.status.phase === 'rewinding') return;
    await pair.destroy();
    this.fail(
      new LabError(
        'lost',
        panic === undefined
          ? `The host ${host} has stopped: it was powered off, crashed, or its machine was killed.`
          : `The kernel of ${host} has stopped. Its last words: ${panic}`,
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
    try {
      const channel = pair.channel(terminal.host);
      await channel.open(300_000);
      if ((await this.pause(500)) && this.canOpen(terminal))
        terminal.open(channel.attachCommand(terminal.id));
    } catch (error) {
      this.log.warn({ err: error }, 'no new shell');
      if (this.terminals.has(terminal))
        terminal.notice(`no new shell: ${LabError.from(error, 'login').message}`);
    }
  }

  /** Meanwhile it may have been closed, or the hosts may go back, which brings its shell as well. */
  private canOpen(terminal: Terminal): boolean {
    return this.status.phase === 'ready' && this.terminals.has(terminal) && !terminal.isOpen;
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

  private requireTenancy(): Tenancy {
    if (!this.tenancy) throw new LabError('no-session', 'This pair is nobody’s yet.');
    return this.tenancy;
  }

  /** Pages of the learner's own. */
  private get owners(): number {
    return [...this.pages].filter(({ client }) => client.role === 'owner').length;
  }

  private elapsedMs(): number {
    return Date.now() - this.startedAt;
  }

  private touch(): void {
    this.lastActivityMs = Date.now();
    if (this.warnedOfIdle && this.tenancy) this.tellOfIdle(this.tenancy);
  }

  private broadcast(message: ServerMessage): void {
    for (const { client } of this.pages) client.send(message);
  }

  /** @returns false when the session ended meanwhile */
  private async pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: this.ending.signal }).catch(() => undefined);
    return !this.ending.signal.aborted;
  }
}
