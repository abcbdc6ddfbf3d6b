/**
 * One sandbox: a pair and everything around it. A sandbox begins in the pool and belongs to nobody, is assigned to one session
 * once, and ends once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Step } from '../lessons/lesson';
import { loadLesson } from '../lessons/load';
import { LabError } from '../protocol/errors';
import type { HostName } from '../protocol/hosts';
import type { Assignment, RunnerStatus } from '../protocol/runner';
import type { Deadline, EndReason } from '../protocol/session';
import type { SandboxSpec } from '../store/sandboxes';
import { Progress } from './checks/progress';
import { commandOf } from './checks/run-command';
import { Runs, type RunRequest } from './checks/runs';
import { Deadlines } from './deadlines';
import type { PageConnection, PageHandler } from './delivery/page-connection';
import { PageMessages, type PageRequests } from './delivery/page-messages';
import { Pages } from './pages';
import { Pair } from './pair';
import { provision } from './provision';
import { SavedStates } from './rewind/saved-states';
import {
  afterEnd,
  afterFailure,
  afterPhase,
  afterReady,
  afterRewind,
  pairOf,
  phaseOf,
  starting,
  statusOf,
  unassigned,
  type SandboxState,
  type Tenancy,
} from './sandbox-state';
import { Shells } from './shells';
import { castOf } from './terminal/recording';
import { Terminals } from './terminal/terminals';
import { usageOf } from './usage';

/**
 * The next round of checks comes this long after the answers of a round, and after activity, for states that a command leaves
 * behind it (a web application that starts). Under TCG a round takes 0.15 s of a host's processor.
 */
const checkIntervalMs = 3_000;
/** After this long without activity nothing changes by itself on the hosts that a lesson waits for. */
const checkAfterActivityMs = 120_000;

type Assigned = Extract<Tenancy<Progress>, { is: 'assigned' }>;

export class Sandbox {
  readonly #spec: SandboxSpec;
  readonly #directory: string;
  readonly #log: Logger;
  readonly #onEnd: (reason: EndReason) => void;
  readonly #pages = new Pages();
  readonly #terminals: Terminals;
  readonly #shells: Shells;
  readonly #runs = new Runs();
  readonly #savedStates: SavedStates;
  readonly #deadlines: Deadlines;
  readonly #startedAtMs = Date.now();
  readonly #ending = new AbortController();
  #state: SandboxState<Pair> = starting;
  #tenancy: Tenancy<Progress> = unassigned;
  /** From the start to prompts on both hosts; null until then. */
  #readyMs: number | null = null;
  #starting: Promise<void> = Promise.resolve();

  /**
   * @param directory where everything goes that the pair makes
   * @param onEnd called once, after everything that belongs to the sandbox is gone
   */
  constructor(spec: SandboxSpec, directory: string, log: Logger, onEnd: (reason: EndReason) => void) {
    this.#spec = spec;
    this.#directory = directory;
    this.#log = log;
    this.#onEnd = onEnd;
    this.#savedStates = new SavedStates(directory, spec.savedStatesMiB * 1024 * 1024, log);
    this.#terminals = new Terminals(spec.maxTerminals, spec.scrollbackBytes, (terminal) => ({
      onIdle: (idle) => {
        this.#pages.broadcast({ type: 'prompt', terminal: terminal().id, idle });
      },
      onPrompt: () => {
        this.#onPrompt();
      },
      onRun: (runId, state) => {
        const run = this.#runs.note(runId, state);
        if (run) this.#pages.broadcast({ type: 'run', run });
      },
      onExit: () => void this.#shells.replace(terminal()),
    }));
    this.#shells = new Shells(this.#terminals, () => this.#readyPair, this.#ending.signal, log);
    this.#deadlines = new Deadlines(spec, {
      state: () => ({
        ...(this.#state.is === 'failed' ? { lostMs: this.#state.sinceMs } : {}),
        ...(this.#tenancy.is === 'assigned' ? { endsAtMs: this.#tenancy.assignment.endsAtMs } : {}),
        hasPage: this.#pages.owners > 0,
      }),
      onEnd: (reason) => void this.end(reason),
      onWarning: () => {
        if (this.#tenancy.is === 'assigned') this.#tellDeadline(this.#tenancy);
      },
    });
  }

  /** Makes the pair and opens the terminals. Failures are told to the pages, not thrown. */
  start(): void {
    this.#deadlines.watch(this.#ending.signal);
    this.#starting = this.#startPair();
  }

  /**
   * Gives the sandbox to a session, or changes the deadline of the session that has it.
   * @throws LabError `session-exists` when it belongs to another lesson's session, `bad-lesson`
   */
  async assign(assignment: Assignment): Promise<void> {
    if (this.#tenancy.is === 'assigned') {
      const { id, lessonId } = this.#tenancy.assignment;
      if (id !== assignment.id || lessonId !== assignment.lessonId) {
        throw new LabError('session-exists', 'This sandbox belongs to another session.');
      }
      this.#tenancy = { ...this.#tenancy, assignment };
      this.#tellDeadline(this.#tenancy);
      return;
    }
    const lesson = await loadLesson(this.#spec.lessonsDir, assignment.lessonId);
    const runOnHost = (host: HostName, scripts: readonly string[], timeoutMs: number) =>
      this.#requireReady().channel(host).runAll(scripts, { timeoutMs, signal: this.#ending.signal });
    const progress = new Progress(lesson, runOnHost, {
      onStep: (stepId, step) => {
        this.#pages.broadcast({ type: 'step', stepId, step });
      },
      onPassed: (step) => {
        this.#log.info({ step: step.id }, 'step passed');
        void this.#save(progress, step);
      },
      onValues: (values) => {
        this.#pages.broadcast({ type: 'values', values });
      },
      onError: (host, error) => {
        this.#log.warn({ err: error, host }, 'host not checked');
      },
    });
    // A pair that is not ready yet gets the lesson's files as soon as it is.
    const pair = this.#readyPair;
    if (pair) await provision(pair, lesson, this.#ending.signal);
    this.#tenancy = { is: 'assigned', assignment, progress };
    this.#deadlines.restart();
    this.#log.info({ lesson: assignment.lessonId }, 'assigned');
    if (this.#readyPair) progress.wantCheck();
  }

  async report(): Promise<RunnerStatus> {
    const usage = await usageOf(pairOf(this.#state)?.pids ?? []);
    return {
      phase: phaseOf(this.#state),
      lessonId: this.#tenancy.is === 'assigned' ? this.#tenancy.assignment.lessonId : null,
      sessionId: this.#tenancy.is === 'assigned' ? this.#tenancy.assignment.id : null,
      connections: this.#pages.owners,
      memoryBytes: usage.memoryBytes,
      cpuSeconds: usage.cpuSeconds,
      readyMs: this.#readyMs,
    };
  }

  /** @throws LabError `no-session` while the sandbox is nobody's */
  connect(page: PageConnection): PageHandler {
    const tenancy = this.#requireAssigned();
    const messages = new PageMessages(page, this.#terminals, this.#requests(tenancy.progress));
    this.#pages.add(page);
    if (page.role === 'owner') this.#deadlines.noteActivity();
    page.send({
      type: 'hello',
      session: tenancy.assignment,
      sandboxId: this.#spec.id,
      role: page.role,
      pair: statusOf(this.#state, this.#elapsedMs()),
      terminals: this.#terminals.infos,
      ...this.#lessonState(tenancy.progress),
      deadline: this.#deadline(tenancy),
      saves: this.#savedStates.infos,
    });
    for (const terminal of this.#terminals) {
      page.send({ type: 'prompt', terminal: terminal.id, idle: terminal.idle });
    }
    return {
      receive: (message) => {
        messages.receive(message);
      },
      input: (channel, offset, bytes) => {
        messages.input(channel, offset, bytes);
      },
      close: () => {
        this.#pages.remove(page);
        if (page.role === 'owner') this.#deadlines.pageLeft();
        messages.close();
      },
    };
  }

  /** What is kept of a terminal's output, as the lines of an asciicast. @throws LabError `no-session`, `bad-message` */
  cast(terminalId: string): Iterable<string> {
    const { lesson } = this.#requireAssigned().progress;
    const terminal = this.#terminals.get(terminalId);
    return castOf(terminal.log, `${lesson.title}: ${terminal.name}`);
  }

  /** The gateway is alive and wants this sandbox to go on. */
  renewLease(): void {
    this.#deadlines.renewLease();
  }

  async end(reason: EndReason): Promise<void> {
    if (this.#state.is === 'ended') return;
    const pair = pairOf(this.#state);
    this.#log.info({ reason }, 'sandbox ends');
    this.#ending.abort();
    this.#change(afterEnd(this.#state, reason));
    this.#pages.broadcast({ type: 'ended', reason });
    for (const terminal of this.#terminals) terminal.dispose();
    await this.#starting;
    await pair?.destroy();
    this.#onEnd(reason);
  }

  async #startPair(): Promise<void> {
    let pair: Pair | undefined;
    try {
      pair = await Pair.clone(
        this.#directory,
        this.#spec.templateDir,
        (phase) => {
          this.#change(afterPhase(this.#state, phase));
        },
        this.#ending.signal,
      );
      if (this.#tenancy.is === 'assigned') {
        await provision(pair, this.#tenancy.progress.lesson, this.#ending.signal);
      }
      this.#ending.signal.throwIfAborted();
      for (const terminal of this.#terminals) this.#shells.attach(terminal, pair);
      this.#change(afterReady(this.#state, pair));
      void this.#watchHosts(pair);
      void this.#repeatChecks();
    } catch (error) {
      await pair?.destroy();
      if (!this.#ending.signal.aborted) this.#fail(LabError.from(error, 'The pair could not be started'));
    }
  }

  /** What pages can ask of this sandbox. */
  #requests(progress: Progress): PageRequests {
    return {
      noteActivity: () => {
        this.#deadlines.noteActivity();
      },
      openTerminal: (page, host, requestId) => {
        this.#openTerminal(page, host, requestId);
      },
      closeTerminal: (id) => {
        const terminal = this.#terminals.find(id);
        if (!terminal) return;
        this.#terminals.remove(terminal);
        this.#tellTerminals();
        this.#shells.end(terminal);
      },
      renameTerminal: (id, name) => {
        const terminal = this.#terminals.find(id);
        if (!terminal) return;
        terminal.name = name;
        this.#tellTerminals();
      },
      run: (page, request) => void this.#run(page, request, progress),
      check: (stepId) => {
        const step = progress.step(stepId);
        if (this.#readyPair) void progress.check(step);
      },
      rewind: (page, stepId) => void this.#rewind(page, progress, progress.step(stepId)),
    };
  }

  #openTerminal(page: PageConnection, host: HostName, requestId: string): void {
    try {
      const pair = this.#requireReady();
      const terminal = this.#terminals.create(host, requestId);
      const terminals = this.#terminals.infos;
      if (terminal) {
        this.#shells.attach(terminal, pair);
        this.#pages.broadcast({ type: 'terminals', terminals }, page);
      }
      page.send({ type: 'terminals', terminals, requestId });
    } catch (error) {
      this.#tellError(page, error, 'No terminal was opened');
    }
  }

  #tellTerminals(): void {
    this.#pages.broadcast({ type: 'terminals', terminals: this.#terminals.infos });
  }

  /** A refusal goes to the page that asked. That a command was typed goes to all. */
  async #run(page: PageConnection, request: RunRequest, progress: Progress): Promise<void> {
    const { answer, isNew } = this.#runs.execute(request, async () => {
      try {
        this.#requireReady();
        const terminal = this.#terminals.get(request.terminal);
        const command = commandOf(request, terminal.host, progress);
        return await terminal.typeCommand(command, request.whenBusy, request.runId);
      } catch (error) {
        this.#log.warn({ err: error, step: request.stepId, block: request.block }, 'command not typed');
        throw error;
      }
    });
    const message = await answer;
    if (isNew && message.type === 'run') this.#pages.broadcast(message);
    else page.send(message);
  }

  /** Saves the state in which the step after this one begins. */
  async #save(progress: Progress, step: Step): Promise<void> {
    const next = progress.stepAfter(step);
    const pair = this.#readyPair;
    if (!next || !pair) return;
    await this.#savedStates.save(next.id, pair, progress.values, () => {
      return !this.#readyPair || progress.hasPassed(next) || this.#runs.has(next.id);
    });
    this.#tellSavedStates();
  }

  /** Takes both hosts back to the beginning of a step. A failure is told to the page that asked. */
  async #rewind(page: PageConnection, progress: Progress, step: Step): Promise<void> {
    const beganMs = Date.now();
    const { steps } = progress.lesson;
    const index = steps.indexOf(step);
    try {
      // The state that is wanted may be the one that is being saved.
      await this.#savedStates.settled();
      const pair = this.#requireReady();
      // The first step begins from the template.
      const target = index === 0 ? undefined : this.#savedStates.find(step.id);
      if (index !== 0 && !target) {
        throw new LabError(
          'no-saved-state',
          `The lab has no saved state from the start of “${step.title}”.`,
          {
            hint: 'Go back to an earlier step, or ask for fresh hosts.',
          },
        );
      }
      this.#change(afterRewind(this.#state));
      for (const terminal of this.#terminals) terminal.close();
      await pair.rewind(target?.pair);
      if (!target) await provision(pair, progress.lesson, this.#ending.signal);
      if (this.#ending.signal.aborted) return;
      this.#savedStates.forget(steps.slice(index + 1));
      this.#runs.forget(steps.slice(index).map(({ id }) => id));
      progress.rewindTo(step.id, target?.values ?? {});
      for (const terminal of this.#terminals) {
        terminal.noticeOnFreshScreen(`rewound: both hosts are back at the start of “${step.title}”`);
        this.#shells.attach(terminal, pair);
      }
      this.#pages.broadcast({ type: 'rewound', stepId: step.id, ...this.#lessonState(progress) });
      this.#tellSavedStates();
      this.#change(afterReady(this.#state, pair));
      this.#log.info({ step: step.id, ms: Date.now() - beganMs }, 'rewound');
      progress.wantCheck();
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      if (this.#state.is === 'rewinding') {
        await this.#state.pair.destroy();
        this.#fail(LabError.from(error, 'The hosts could not go back'));
      } else {
        this.#tellError(page, error, 'The hosts could not go back');
      }
    }
  }

  #onPrompt(): void {
    if (this.#readyMs === null && this.#terminals.first.every((terminal) => terminal.idle)) {
      this.#readyMs = this.#elapsedMs();
      this.#log.info({ readyMs: this.#readyMs }, 'both prompts');
    }
    if (this.#readyPair && this.#tenancy.is === 'assigned') this.#tenancy.progress.wantCheck();
  }

  async #repeatChecks(): Promise<void> {
    for (let waitMs = checkIntervalMs; await this.#pause(waitMs);) {
      const progress = this.#tenancy.is === 'assigned' ? this.#tenancy.progress : undefined;
      const leftMs = (progress?.checkedAtMs ?? 0) + checkIntervalMs - Date.now();
      waitMs = leftMs > 0 ? leftMs : checkIntervalMs;
      const isActive = Date.now() - this.#deadlines.activeMs < checkAfterActivityMs;
      if (leftMs <= 0 && this.#readyPair && this.#pages.owners > 0 && isActive) progress?.wantCheck();
    }
  }

  async #watchHosts(pair: Pair): Promise<void> {
    const { host, panic } = await pair.hostLost();
    // A rewind that meets a lost host fails by itself.
    if (this.#readyPair !== pair) return;
    await pair.destroy();
    const message =
      panic === undefined
        ? `The host ${host} has stopped: it was powered off, crashed, or its machine was killed.`
        : `The kernel of ${host} has stopped. Its last words: ${panic}`;
    this.#fail(
      new LabError('lost', message, { hint: 'Start a new pair. Everything on the old pair is lost.' }),
    );
  }

  #fail(error: LabError): void {
    this.#log.error({ err: error }, 'pair lost');
    this.#change(afterFailure(this.#state, error.toWire(), Date.now()));
  }

  #change(state: SandboxState<Pair>): void {
    if (state === this.#state) return;
    this.#state = state;
    const pair = statusOf(state, this.#elapsedMs());
    this.#log.info(pair, 'pair');
    this.#pages.broadcast({ type: 'pair', pair });
  }

  #tellDeadline(tenancy: Assigned): void {
    this.#pages.broadcast({ type: 'deadline', deadline: this.#deadline(tenancy) });
  }

  #tellSavedStates(): void {
    this.#pages.broadcast({ type: 'saves', saves: this.#savedStates.infos });
  }

  /** The page is told what failed, the log also why. */
  #tellError(page: PageConnection, thrown: unknown, doing: string): void {
    const error = LabError.from(thrown, doing);
    this.#log.warn({ err: error }, 'request of a page failed');
    page.send({ type: 'error', error: error.toWire() });
  }

  /** Where the learner is in the lesson, as messages carry it. */
  #lessonState(progress: Progress) {
    return { steps: progress.states, values: { ...progress.values }, runs: this.#runs.reports() };
  }

  #deadline({ assignment }: Assigned): Deadline {
    return {
      endsAtMs: assignment.endsAtMs,
      extensionsLeft: assignment.extensionsLeft,
      idleEndsAtMs: this.#deadlines.idleEndsAtMs,
      warningMs: this.#spec.endWarningMs,
    };
  }

  #requireAssigned(): Assigned {
    if (this.#tenancy.is === 'unassigned')
      throw new LabError('no-session', 'This sandbox has no session yet.');
    return this.#tenancy;
  }

  /** The pair, while it takes commands. */
  get #readyPair(): Pair | undefined {
    return this.#state.is === 'ready' ? this.#state.pair : undefined;
  }

  /** @throws LabError `not-ready` */
  #requireReady(): Pair {
    if (this.#state.is === 'ready') return this.#state.pair;
    throw new LabError('not-ready', 'The hosts are not ready yet.', {
      hint: 'Try again when both have a prompt.',
    });
  }

  #elapsedMs(): number {
    return Date.now() - this.#startedAtMs;
  }

  /** @returns false when the sandbox ended meanwhile */
  async #pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: this.#ending.signal }).catch(() => undefined);
    return !this.#ending.signal.aborted;
  }
}
