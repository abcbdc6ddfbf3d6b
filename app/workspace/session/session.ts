/**
 * Everything that the lesson page knows about the learner's session, as one immutable state that views read, and the
 * few things that a learner can do with it. Knows no framework.
 */
import '../../../server/protocol/zod-without-eval';
import type { Lesson } from '../../../server/lessons/lesson';
import { LabError, type WireError } from '../../../server/protocol/errors';
import type { HostName } from '../../../server/protocol/hosts';
import type { LabInfo, QueuePosition, SessionReply } from '../../../server/protocol/http';
import type {
  Deadline,
  EndReason,
  PairPhase,
  PairStatus,
  Role,
  SavedState,
  SessionInfo,
  StepState,
} from '../../../server/protocol/session';
import type { ClientMessage, ServerMessage } from '../../../server/protocol/messages';
import type {
  Busy,
  RunReport,
  ShellMark,
  ShownCommand,
  TerminalInfo,
} from '../../../server/protocol/terminal';
import { readStored, writeStored } from '../../ui/preferences';
import { timeOfDay } from '../../ui/time';
import * as httpApi from './api';
import { Connection, type ConnectionState } from '../../../server/client/connection';
import { everyInBackground } from './every';
import * as layouts from '../panes/arrangement';
import type { Direction, Layout } from '../panes/arrangement';

/** How often a queued page asks for its place. */
export const queuePollMs = 2_000;

/** What a session asks of the server; tests hand in their own. */
export type Api = Pick<
  typeof httpApi,
  | 'getLab'
  | 'getSession'
  | 'postSession'
  | 'deleteSession'
  | 'resetSession'
  | 'extendSession'
  | 'getCast'
  | 'openSocket'
  | 'grantView'
  | 'offerHandover'
  | 'revokeView'
>;

/** Where the layout is kept; tests hand in their own. */
export interface LayoutStore {
  load(): Layout | undefined;
  save(layout: Layout): void;
}

const browserLayouts: LayoutStore = {
  load: () => readStored('layout', layouts.layoutSchema),
  save: (layout) => {
    writeStored('layout', layout);
  },
};

/** Calls back again and again until the returned function is called. */
export type Every = (ms: number, callback: () => void) => () => void;

/** A pair's phase, or where the page is before there is a pair. */
export type Phase = 'loading' | 'none' | 'requesting' | 'queued' | PairPhase;

/** How long a new terminal's shell may take to its first prompt before a command for it is given up: half a minute on a slow machine. */
const newShellMs = 60_000;

/** What a command does, by its shell's marks. */
export type CommandState =
  | { state: 'running'; sinceMs: number | null }
  | { state: 'done'; exitCode: number | null; durationMs: number | null };

/** A terminal's last command; `command` counts its commands from 1. */
export type LastCommand = CommandState & { command: number };

/** What became of a click on Run. */
export type RunState =
  | { state: 'sent' }
  /** In which terminal, and what its command does; null until the shell says that it has begun. */
  | { state: 'typed'; terminal: string; command: CommandState | null }
  | { state: 'refused'; error: WireError };

/** A command that was not typed because something stands in the way of it, until the learner says how to go on. */
export interface BusyQuestion {
  stepId: string;
  block: number;
  terminal: string;
  busy: Busy;
}

/** Something about one terminal that the learner should see once. */
export type InputTrouble =
  /** This many keys were typed before a break and never arrived. */
  | { kind: 'lost'; keys: number }
  /** A paste is longer than what may wait. */
  | { kind: 'too-much' };

type WhenBusy = Extract<ClientMessage, { type: 'run' }>['whenBusy'];

/** A way back to the start of a step: asked for, under way, or refused. */
export type RewindState =
  { stepId: string; state: 'sent' | 'going' } | { stepId: string; state: 'refused'; error: WireError };

export interface SessionState {
  phase: Phase;
  lab: LabInfo | null;
  session: SessionInfo | null;
  /** The sandbox that the session has, as far as this page knows. */
  sandboxId: string | null;
  /** The session that this browser has for another lesson, which stands in the way of one for this. */
  otherSession: SessionInfo | null;
  /** The place in the queue, for this lesson or another one; only in phase `queued`. */
  queue: QueuePosition | null;
  /** The pair came by itself, out of the queue, and the learner may not have seen it yet. */
  called: boolean;
  connection: ConnectionState;
  /** Since when there is no line, in Unix milliseconds; null while there is one. */
  brokenSinceMs: number | null;
  /** Since when nothing was heard of a line that seems open, in Unix milliseconds; null while it answers. */
  silentSinceMs: number | null;
  role: Role;
  terminals: readonly TerminalInfo[];
  layout: Layout;
  pair: PairStatus | null;
  /** When `pair` was said, in Unix milliseconds of this computer. */
  pairAtMs: number;
  endReason: EndReason | null;
  deadline: Deadline | null;
  /** A later end was asked for. */
  extending: boolean;
  /** The states that can be gone back to. */
  saves: readonly SavedState[];
  rewind: RewindState | null;
  steps: Readonly<Record<string, StepState>>;
  /** Steps whose check was asked for and has not answered yet. */
  checking: readonly string[];
  values: Readonly<Record<string, string>>;
  /** By `stepId/block`. */
  runs: Readonly<Record<string, RunState>>;
  /** By terminal: whether its shell is at its prompt; absent until it says so. */
  atPrompt: Readonly<Record<string, boolean>>;
  /** By terminal: its last command, as far as this page saw it. */
  lastCommand: Readonly<Record<string, LastCommand>>;
  question: BusyQuestion | null;
  /** By terminal. */
  trouble: Readonly<Record<string, InputTrouble>>;
  /** The grant by which others may look on; null when nobody may, undefined while that is not known. */
  grant: string | null | undefined;
  /** The last failure that is nobody else's to show. */
  problem: WireError | null;
  /** For screen readers: the last thing that happened by itself. */
  announcement: string;
}

/** The pair is there, if not always at its prompts. */
export const hasPair = ({ phase }: Pick<SessionState, 'phase'>): boolean =>
  phase === 'ready' || phase === 'rewinding';

export const blockKey = (stepId: string, block: number): string => `${stepId}/${block}`;

const initial: SessionState = {
  phase: 'loading',
  lab: null,
  session: null,
  sandboxId: null,
  otherSession: null,
  queue: null,
  called: false,
  connection: 'closed',
  brokenSinceMs: null,
  silentSinceMs: null,
  role: 'owner',
  terminals: [],
  layout: layouts.firstLayout,
  pair: null,
  pairAtMs: 0,
  endReason: null,
  deadline: null,
  extending: false,
  saves: [],
  rewind: null,
  steps: {},
  checking: [],
  values: {},
  runs: {},
  atPrompt: {},
  lastCommand: {},
  question: null,
  trouble: {},
  grant: undefined,
  problem: null,
  announcement: '',
};

/** A UUID, version 4. `crypto.randomUUID` is missing where a page comes over plain HTTP, as in many a workshop. */
function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** A run as its runner reports it, on this page's clock. */
function typedRun({ terminal, command }: RunReport): RunState {
  switch (command.state) {
    case 'typed':
      return { state: 'typed', terminal, command: null };
    case 'running':
      return {
        state: 'typed',
        terminal,
        command: { state: 'running', sinceMs: Date.now() - command.elapsedMs },
      };
    case 'done':
      return { state: 'typed', terminal, command };
  }
}

const typedRuns = (reports: readonly RunReport[]): Record<string, RunState> =>
  Object.fromEntries(reports.map((report) => [blockKey(report.stepId, report.block), typedRun(report)]));

/** What is shown of a session's terminals, all of which another session replaces. */
const noTerminals = {
  terminals: [],
  atPrompt: {},
  lastCommand: {},
  question: null,
  trouble: {},
} satisfies Partial<SessionState>;

/**
 * What is still true of a rewind after a break: a refusal by the server. Whether one that was sent has happened is in
 * what the server says now.
 */
const stillRefused = (rewind: RewindState | null): RewindState | null =>
  rewind?.state === 'refused' && rewind.error.code !== 'lost' ? rewind : null;

function whyNotReady(phase: Phase): { message: string; hint: string } {
  switch (phase) {
    case 'queued':
      return { message: 'There are no hosts yet.', hint: 'You are in the queue for them.' };
    case 'rewinding':
      return {
        message: 'The hosts are going back to an earlier state.',
        hint: 'Run this when they are there.',
      };
    case 'none':
    case 'ended':
      return {
        message: 'There are no hosts yet.',
        hint: 'Start them, and run this when their prompts are there.',
      };
    case 'failed':
      return {
        message: 'The hosts have failed.',
        hint: 'Start new ones, and run this when their prompts are there.',
      };
    default:
      return { message: 'The hosts are not ready yet.', hint: 'Run this when their prompts are there.' };
  }
}

export class LabSession {
  #state = initial;
  readonly #listeners = new Set<() => void>();
  readonly connection: Connection;
  #stopPolling: (() => void) | undefined;
  #asking = false;
  /** Runs that this page asked for: only it asks the learner what to do when one is refused. */
  readonly #ownRuns = new Set<string>();
  /** By request: the terminals that this page asked for, and what is to be done in them. */
  readonly #opening = new Map<string, (terminal: TerminalInfo | undefined) => void>();
  /** By terminal: what waits for its shell's first prompt. */
  readonly #atFirstPrompt = new Map<string, { begin: () => void; timer: unknown }>();

  constructor(
    readonly lesson: Lesson,
    private readonly api: Api = httpApi,
    private readonly every: Every = everyInBackground,
    private readonly layoutStore: LayoutStore = browserLayouts,
  ) {
    this.connection = new Connection({
      openSocket: api.openSocket,
      onState: (connection) => {
        const brokenSinceMs = connection === 'open' ? null : (this.#state.brokenSinceMs ?? Date.now());
        this.#set({ connection, brokenSinceMs });
        if (connection !== 'open') this.#giveUpOpening();
      },
      onSilence: (silentSinceMs) => {
        this.#set({ silentSinceMs });
      },
      onMessage: (message) => {
        this.#onMessage(message);
      },
      onError: (error) => {
        if (error.code === 'no-session' || error.code === 'session-ended') this.#ended(null);
        // Of a link that never showed anything the server says more.
        else if (error.code === 'forbidden' && this.#state.role === 'viewer' && this.#state.session !== null)
          this.#ended(null);
        else this.#set({ problem: error.toWire() });
      },
      onInputLost: (terminal, keys) => {
        this.setTrouble(terminal, { kind: 'lost', keys });
      },
      clock: {
        setTimeout: (callback, ms) => setTimeout(callback, ms),
        clearTimeout: (timer) => {
          clearTimeout(timer as number | undefined);
        },
        now: Date.now,
        random: Math.random,
      },
      clientId: randomId(),
    });
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getState = (): SessionState => this.#state;
  readonly getInitialState = (): SessionState => initial;

  /** Looks at somebody else's terminals: there is nothing to be found out first. */
  watch(): void {
    this.#set({ phase: 'cloning', role: 'viewer', pairAtMs: Date.now() });
    this.connection.open();
  }

  /** Finds out what this browser has already, and goes on with it. */
  async load(): Promise<void> {
    const layout = this.layoutStore.load();
    if (layout !== undefined) this.#set({ layout });
    const lab = this.api.getLab().then(
      (found) => {
        this.#set({ lab: found });
      },
      () => undefined, // The session's own request fails for the same reason and says so.
    );
    await this.#try('Looking for a session', () => this.#find());
    await lab;
  }

  /** Asks for a pair; a session that failed or that is for another lesson is ended first. */
  async start(): Promise<void> {
    const inTheWay =
      this.#state.otherSession ?? (this.#state.phase === 'failed' ? this.#state.session : null);
    this.#startOver();
    await this.#try('Starting the hosts', async () => {
      if (inTheWay !== null) await this.api.deleteSession();
      const reply = await this.api.postSession(this.lesson.id);
      this.#set({ otherSession: null });
      this.#arrive(reply);
    });
  }

  /** Gives this pair up for a fresh one. */
  async reset(): Promise<void> {
    // The line is closed first, so that the old session's end is not mistaken for the end of the learner's work.
    this.#startOver();
    this.#set({ announcement: 'You get fresh hosts.' });
    try {
      this.#arrive(await this.api.resetSession());
    } catch (thrown) {
      // Perhaps nothing happened at all, and the old pair is still there.
      await this.#try('Looking for a session', () => this.#find());
      this.#set({ problem: LabError.from(thrown, 'Getting fresh hosts').toWire() });
    }
  }

  async end(): Promise<void> {
    await this.#try('Ending the session', async () => {
      await this.api.deleteSession();
      this.#ended('by-learner');
    });
  }

  async leaveQueue(): Promise<void> {
    this.#leftQueue('You have left the queue.');
    await this.#try('Leaving the queue', () => this.api.deleteSession());
  }

  /** Asks for a later end. */
  async extend(): Promise<void> {
    if (this.#state.extending) return;
    this.#set({ extending: true });
    await this.#try('Getting more time', async () => {
      const { session } = await this.api.extendSession();
      const { deadline } = this.#state;
      // A message may have told of it already, and the session may be over by now.
      if (session === null || deadline === null) return;
      const { endsAtMs, extensionsLeft } = session;
      this.#set({ session });
      this.#onDeadline({ ...deadline, endsAtMs, extensionsLeft });
    });
    this.#set({ extending: false });
  }

  /** The learner is there, though nothing is typed. */
  here(): void {
    this.connection.here();
  }

  /** Takes both hosts back to how they were when a step began. */
  rewind(stepId: string): void {
    if (this.#state.phase !== 'ready' || this.#state.rewind?.state === 'sent') return;
    if (this.connection.rewind(stepId)) {
      this.#set({ rewind: { stepId, state: 'sent' } });
      return;
    }
    const error = {
      code: 'lost' as const,
      message: 'There is no connection to the hosts, so nothing was changed.',
      hint: 'Try again when it is back.',
    };
    this.#set({ rewind: { stepId, state: 'refused', error } });
  }

  /** Types a run block into the terminal that it is for, once. */
  run(stepId: string, block: number): void {
    const run = this.lesson.steps.find(({ id }) => id === stepId)?.runs[block];
    if (run === undefined || this.#state.runs[blockKey(stepId, block)]?.state === 'sent') return;
    const { host } = run;
    const [first, second] = this.#state.terminals.filter((one) => one.host === host);
    if (run.terminal === 2 && second === undefined && this.#state.phase === 'ready') {
      this.#runInNew(stepId, block, host);
      return;
    }
    // A lesson that keeps two terminals apart means the one that it says; else it is the one that is in use.
    const keepsApart = this.lesson.steps.some(({ runs }) =>
      runs.some((one) => one.host === host && one.terminal === 2),
    );
    const meant = (run.terminal === 2 ? second : keepsApart ? first : undefined)?.id;
    if (meant !== undefined) this.showTerminal(meant);
    this.#run(stepId, block, meant ?? this.activeTerminal(host), 'refuse');
  }

  #run(stepId: string, block: number, terminal: string, whenBusy: WhenBusy): void {
    const key = blockKey(stepId, block);
    if (this.#state.phase !== 'ready') {
      this.#setRun(key, {
        state: 'refused',
        error: { code: 'not-ready', ...whyNotReady(this.#state.phase) },
      });
      return;
    }
    this.#setRun(key, { state: 'sent' });
    const runId = randomId();
    this.#ownRuns.add(runId);
    this.connection.run({ runId, stepId, block, terminal, whenBusy });
  }

  /** The learner's answer to {@link SessionState.question}; null leaves things as they are. */
  answer(how: 'interrupt' | 'cut-line' | 'new-terminal' | null): void {
    const { question } = this.#state;
    this.#set({ question: null });
    if (question === null || how === null) return;
    const { stepId, block, terminal } = question;
    if (how !== 'new-terminal') {
      this.#run(stepId, block, terminal, how);
      return;
    }
    const host = this.#hostOf(terminal);
    if (host !== undefined) this.#runInNew(stepId, block, host);
  }

  /** Opens a terminal and runs a block in it as soon as its shell waits. */
  #runInNew(stepId: string, block: number, host: HostName): void {
    const key = blockKey(stepId, block);
    this.#setRun(key, { state: 'sent' });
    const refuse = (message: string): void => {
      this.#setRun(key, {
        state: 'refused',
        error: { code: 'not-ready', message, hint: 'Run the command again when there is a prompt.' },
      });
    };
    const asked = this.openTerminal(host, (opened) => {
      if (opened === undefined) {
        refuse('The new terminal did not open.');
        return;
      }
      const timer = setTimeout(() => {
        this.#atFirstPrompt.delete(opened.id);
        refuse('The new terminal’s shell has not come to its prompt.');
      }, newShellMs);
      const begin = (): void => {
        clearTimeout(timer);
        this.#run(stepId, block, opened.id, 'refuse');
      };
      this.#atFirstPrompt.set(opened.id, { begin, timer });
      if (this.#state.atPrompt[opened.id] === true) this.#firstPrompt(opened.id);
    });
    if (!asked) refuse('There is no connection, so no terminal was opened.');
  }

  /** The terminal of a host that is in use on this page. */
  activeTerminal(host: HostName): string {
    return layouts.activeTerminal(this.#state.layout.views[host]);
  }

  /**
   * Asks for one more terminal, which is shown then.
   * @param opened what to do with it; undefined when it did not open
   * @returns false when nothing was asked, because there is no connection
   */
  openTerminal(host: HostName, opened?: (terminal: TerminalInfo | undefined) => void): boolean {
    const requestId = randomId();
    if (!this.connection.openTerminal(host, requestId)) return false;
    this.#opening.set(requestId, (terminal) => {
      if (terminal !== undefined) this.showTerminal(terminal.id);
      opened?.(terminal);
    });
    return true;
  }

  closeTerminal(id: string): void {
    this.connection.closeTerminal(id);
  }

  renameTerminal(id: string, name: string): void {
    this.connection.renameTerminal(id, name);
  }

  /** Puts a terminal on view, in use from now on. */
  showTerminal(id: string): void {
    const host = this.#hostOf(id);
    if (host !== undefined) this.#setView(host, layouts.show(this.#state.layout.views[host], id));
  }

  /**
   * Shows two terminals of a host at once; one that is not on view or, when there is none, a new one.
   * @param added told which one that is
   */
  splitHost(host: HostName, direction: Direction, added: (id: string) => void = () => undefined): void {
    const view = this.#state.layout.views[host];
    if (view.shown.length > 1) {
      this.#setView(host, { ...view, split: direction });
      return;
    }
    const add = (id: string): void => {
      const order = this.#state.terminals.map((one) => one.id);
      this.#setView(host, layouts.split(view, direction, id, order));
      added(id);
    };
    const other = this.#state.terminals.find((one) => one.host === host && !view.shown.includes(one.id));
    if (other !== undefined) {
      add(other.id);
      return;
    }
    this.openTerminal(host, (terminal) => {
      if (terminal !== undefined) add(terminal.id);
    });
  }

  unsplitHost(host: HostName): void {
    this.#setView(host, layouts.unsplit(this.#state.layout.views[host]));
  }

  /** Source and destination side by side, or one above the other. */
  arrangeHosts(hosts: Direction): void {
    this.#setLayout({ ...this.#state.layout, hosts });
  }

  setTrouble(terminal: string, trouble: InputTrouble | null): void {
    const others = Object.entries(this.#state.trouble).filter(([id]) => id !== terminal);
    const all = trouble === null ? others : [...others, [terminal, trouble] as const];
    this.#set({ trouble: Object.fromEntries(all) });
  }

  /** A link by which others may look on; the same one until it is taken back. */
  async share(): Promise<void> {
    await this.#try('Sharing the view', async () => {
      this.#set({ grant: await this.api.grantView() });
    });
  }

  async stopSharing(): Promise<void> {
    await this.#try('Taking the link back', async () => {
      await this.api.revokeView();
      this.#set({ grant: null });
    });
  }

  /** A key by which the learner goes on in another browser; undefined when there is none, and the state says why. */
  async offerHandover(): Promise<string | undefined> {
    let key: string | undefined;
    await this.#try('Making a link', async () => {
      key = await this.api.offerHandover();
    });
    return key;
  }

  /**
   * Gives the learner what is kept of a terminal's output.
   * @param save puts a file where the learner keeps files
   */
  async takeRecording(terminal: string, save: (name: string, content: Blob) => void): Promise<void> {
    await this.#try('Downloading the recording', async () => {
      const { name, content } = await this.api.getCast(terminal);
      save(name, content);
      this.announce(`The recording is saved as ${name}.`);
    });
  }

  check(stepId: string): void {
    if (this.#state.connection !== 'open') return;
    this.#set({ checking: [...this.#state.checking.filter((id) => id !== stepId), stepId] });
    this.connection.check(stepId);
  }

  /** For screen readers. */
  announce(announcement: string): void {
    this.#set({ announcement });
  }

  /** The learner looks at the page. */
  seen(): void {
    if (this.#state.called) this.#set({ called: false });
  }

  /** The network is back, or the page is looked at again: no use in waiting any longer. */
  wake(): void {
    this.connection.wake();
    if (this.#state.phase === 'queued') void this.#poll();
  }

  /** The page is not looked at. */
  rest(): void {
    this.connection.rest();
  }

  /** The page goes away; the session stays. */
  close(): void {
    this.#stopWaiting();
    this.connection.close();
  }

  dismissProblem(): void {
    this.#set({ problem: null });
  }

  #set(change: Partial<SessionState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }

  #hostOf(terminal: string): HostName | undefined {
    return this.#state.terminals.find(({ id }) => id === terminal)?.host;
  }

  #setLayout(layout: Layout): void {
    if (layout === this.#state.layout) return;
    this.#set({ layout });
    if (this.#state.role === 'owner') this.layoutStore.save(layout);
  }

  #setView(host: HostName, view: layouts.HostView): void {
    const { layout } = this.#state;
    if (view !== layout.views[host]) this.#setLayout({ ...layout, views: { ...layout.views, [host]: view } });
  }

  /** Terminals that were asked for on a line that is gone may have been opened or not: nothing more is done in them. */
  #giveUpOpening(): void {
    const waiting = [...this.#opening.values()];
    this.#opening.clear();
    for (const opened of waiting) opened(undefined);
  }

  #onTerminals(terminals: readonly TerminalInfo[]): void {
    const kept = <T>(all: Readonly<Record<string, T>>): Record<string, T> =>
      Object.fromEntries(Object.entries(all).filter(([id]) => terminals.some((one) => one.id === id)));
    const { atPrompt, lastCommand, trouble, layout } = this.#state;
    this.#set({
      terminals,
      atPrompt: kept(atPrompt),
      lastCommand: kept(lastCommand),
      trouble: kept(trouble),
      layout: layouts.settleLayout(layout, terminals),
    });
  }

  #firstPrompt(terminal: string): void {
    const waiting = this.#atFirstPrompt.get(terminal);
    this.#atFirstPrompt.delete(terminal);
    waiting?.begin();
  }

  #onMark(terminal: string, mark: ShellMark): void {
    if (mark.kind === 'prompt') {
      this.#firstPrompt(terminal);
      return;
    }
    const { command } = mark;
    this.#onCommand(
      terminal,
      mark.kind === 'start'
        ? { command, state: 'running', sinceMs: Date.now() }
        : { command, state: 'done', exitCode: mark.exitCode, durationMs: mark.durationMs },
    );
  }

  /** The commands of a repainted screen: among them may be the end of one whose mark was not seen. */
  #onShownCommands(terminal: string, commands: readonly ShownCommand[]): void {
    for (const { command, outputLine, endLine, exitCode, durationMs } of commands) {
      if (outputLine === null) continue;
      this.#onCommand(
        terminal,
        endLine === null
          ? { command, state: 'running', sinceMs: null }
          : { command, state: 'done', exitCode, durationMs },
      );
    }
  }

  /** After a break, marks and commands may come that came before it already: what is known of a later one stays. */
  #onCommand(terminal: string, command: LastCommand): void {
    const last = this.#state.lastCommand[terminal];
    const isNews =
      last === undefined ||
      command.command > last.command ||
      (command.command === last.command && command.state === 'done');
    if (isNews) this.#set({ lastCommand: { ...this.#state.lastCommand, [terminal]: command } });
  }

  #setRun(key: string, run: RunState): void {
    this.#set({ runs: { ...this.#state.runs, [key]: run } });
  }

  async #try(doing: string, work: () => Promise<void>): Promise<void> {
    try {
      this.#set({ problem: null });
      await work();
    } catch (thrown) {
      const error = LabError.from(thrown, doing);
      const waiting = this.#state.phase === 'loading' || this.#state.phase === 'requesting';
      if (error.code === 'session-exists') {
        const otherSession = await this.api.getSession().then(
          ({ session }) => session,
          () => null,
        );
        this.#set({ phase: 'none', otherSession, problem: error.toWire() });
      } else {
        this.#set({ problem: error.toWire(), ...(waiting ? { phase: 'none' } : {}) });
      }
    }
  }

  /** Forgets the session and what it left on the page, but not what stands in the way of the next one. */
  #startOver(): void {
    this.close();
    const { lab, otherSession, layout } = this.#state;
    this.#forgetTerminals();
    this.#set({ ...initial, lab, otherSession, layout, phase: 'requesting', pairAtMs: Date.now() });
  }

  #forgetTerminals(): void {
    this.#ownRuns.clear();
    for (const { timer } of this.#atFirstPrompt.values()) clearTimeout(timer as number | undefined);
    this.#atFirstPrompt.clear();
    this.#opening.clear();
  }

  async #find(): Promise<void> {
    const reply = await this.api.getSession();
    if (reply.session === null && reply.queue === null) this.#set({ phase: 'none' });
    else this.#arrive(reply);
  }

  /** Goes on with what the server gave: a pair, or a place in the queue. */
  #arrive({ session, queue }: SessionReply): void {
    if (session === null) {
      if (queue === null)
        throw new LabError('internal', 'The server gave neither hosts nor a place in the queue.');
      this.#wait(queue);
      return;
    }
    const called = this.#state.phase === 'queued';
    this.#stopWaiting();
    if (session.lessonId !== this.lesson.id) {
      this.#set({ phase: 'none', queue: null, otherSession: session });
      return;
    }
    this.#set({ session, queue: null, called, phase: 'cloning', pair: null, pairAtMs: Date.now() });
    if (called) this.announce('It is your turn. Your hosts are starting.');
    this.connection.open();
  }

  #wait(queue: QueuePosition): void {
    const before = this.#state.queue?.position;
    this.#set({ phase: 'queued', queue, problem: null });
    if (queue.position !== before) this.announce(`You are number ${queue.position} in the queue.`);
    this.#stopPolling ??= this.every(queuePollMs, () => void this.#poll());
  }

  async #poll(): Promise<void> {
    const waiting = this.#stopPolling;
    // An answer to a page that left the queue meanwhile, or that entered it again, is of no use.
    const stillWaiting = (): boolean => waiting !== undefined && waiting === this.#stopPolling;
    // On a slow network answers take longer than the pause between questions.
    if (this.#asking) return;
    this.#asking = true;
    try {
      const reply = await this.api.getSession();
      if (!stillWaiting()) return;
      if (reply.session !== null || reply.queue !== null) {
        this.#arrive(reply);
        return;
      }
      this.#leftQueue('You have lost your place in the queue.');
      this.#set({
        problem: {
          code: 'lost',
          message: 'Your place in the queue is gone.',
          hint: 'It goes to the next one when the server does not hear from this page for a while, or when it was given up in another tab.',
        },
      });
    } catch (thrown) {
      if (!stillWaiting()) return;
      const error = LabError.from(thrown, 'Asking for the place in the queue');
      // The place is kept for a while, so the next question may still find it.
      this.#set({
        problem: {
          code: error.code,
          message: error.message,
          hint: 'Your place is kept for a while, and this page goes on asking.',
        },
      });
    } finally {
      this.#asking = false;
    }
  }

  #stopWaiting(): void {
    this.#stopPolling?.();
    this.#stopPolling = undefined;
  }

  #leftQueue(announcement: string): void {
    this.#stopWaiting();
    this.#set({ phase: 'none', queue: null, announcement });
  }

  #ended(endReason: EndReason | null): void {
    this.connection.close();
    this.#set({
      phase: 'ended',
      endReason,
      deadline: null,
      saves: [],
      rewind: null,
      ...noTerminals,
      grant: undefined,
      announcement: 'The session has ended.',
    });
  }

  /** Another page of this browser asked for fresh hosts: goes on with them as well. */
  async #follow(): Promise<void> {
    this.#startOver();
    await this.#try('Looking for the fresh hosts', () => this.#find());
  }

  #onMessage(message: ServerMessage): void {
    switch (message.type) {
      case 'hello': {
        if (this.#state.sandboxId !== null && this.#state.sandboxId !== message.sandboxId) {
          this.#forgetTerminals();
          this.#set(noTerminals);
        }
        this.#onTerminals(message.terminals);
        // What was sent is answered when it is sent again; what was refused stays so until it is typed.
        const untyped = Object.entries(this.#state.runs).filter(([, { state }]) => state !== 'typed');
        this.#set({
          session: message.session,
          sandboxId: message.sandboxId,
          role: message.role,
          steps: message.steps,
          checking: [],
          values: message.values,
          runs: { ...Object.fromEntries(untyped), ...typedRuns(message.runs) },
          deadline: message.deadline,
          saves: message.saves,
          rewind: stillRefused(this.#state.rewind),
        });
        this.#onPair(message.pair);
        break;
      }
      case 'pair':
        this.#onPair(message.pair);
        break;
      case 'step':
        this.#onStep(message.stepId, message.step);
        break;
      case 'values':
        this.#set({ values: { ...this.#state.values, ...message.values } });
        break;
      case 'run':
        this.#ownRuns.delete(message.run.runId);
        this.#setRun(blockKey(message.run.stepId, message.run.block), typedRun(message.run));
        break;
      case 'run-refused': {
        if (!this.#ownRuns.delete(message.runId)) break;
        const { stepId, block, terminal, busy, error } = message;
        this.#setRun(blockKey(stepId, block), { state: 'refused', error });
        if (busy !== undefined) this.#set({ question: { stepId, block, terminal, busy } });
        break;
      }
      case 'terminals': {
        const before = this.#state.terminals;
        this.#onTerminals(message.terminals);
        const opened = this.#opening.get(message.requestId ?? '');
        this.#opening.delete(message.requestId ?? '');
        opened?.(message.terminals.find(({ id }) => !before.some((one) => one.id === id)));
        break;
      }
      case 'prompt':
        this.#set({ atPrompt: { ...this.#state.atPrompt, [message.terminal]: message.idle } });
        if (message.idle) this.#firstPrompt(message.terminal);
        break;
      case 'mark':
        this.#onMark(message.terminal, message.mark);
        break;
      case 'screen':
        this.#onShownCommands(message.terminal, message.commands);
        break;
      case 'deadline':
        this.#onDeadline(message.deadline);
        break;
      case 'saves':
        this.#set({ saves: message.saves });
        break;
      case 'rewound':
        this.#forgetTerminals();
        this.#set({
          steps: message.steps,
          checking: [],
          values: message.values,
          runs: typedRuns(message.runs),
          rewind: null,
          lastCommand: {},
          question: null,
          announcement: `Both hosts are as they were at the start of ${this.#stepName(message.stepId)}.`,
        });
        break;
      case 'ended':
        if (message.reason === 'reset') void this.#follow();
        else this.#ended(message.reason);
        break;
      case 'error':
        this.#onError(message.error);
        break;
      // What of the terminals themselves the connection sees to.
      case 'attached':
      case 'size':
      case 'input-ack':
      case 'pong':
        break;
    }
  }

  #onPair(pair: PairStatus): void {
    const { phase: before, rewind } = this.#state;
    this.#set({ pair, pairAtMs: Date.now(), phase: pair.phase });
    if (pair.phase === 'rewinding' && before !== 'rewinding') {
      this.#set({
        rewind: rewind?.state === 'sent' ? { stepId: rewind.stepId, state: 'going' } : null,
        announcement: 'Both hosts are going back.',
      });
    }
    // After a rewind `rewound` says more.
    if (pair.phase === 'ready' && before !== 'ready' && before !== 'rewinding') {
      this.#set({ announcement: 'Both hosts are ready.' });
    }
    if (pair.phase === 'ready' && rewind?.state === 'going') this.#set({ rewind: null });
    if (pair.phase === 'failed') {
      this.#set({
        deadline: null,
        rewind: null,
        announcement: pair.error?.message ?? 'The hosts could not be started.',
      });
    }
  }

  #onDeadline(deadline: Deadline): void {
    const { deadline: before, phase } = this.#state;
    // Of hosts that have failed the end is of no interest.
    if (phase === 'failed') return;
    this.#set({ deadline });
    if (before === null) return;
    if (deadline.endsAtMs > before.endsAtMs)
      this.announce(`Your hosts now end at ${timeOfDay(deadline.endsAtMs)}.`);
    else if (before.idleEndsAtMs !== null && deadline.idleEndsAtMs === null)
      this.announce('Your hosts stay.');
  }

  /** An error that comes while a rewind is asked for is its answer; any other is nobody's in particular. */
  #onError(error: WireError): void {
    const { rewind } = this.#state;
    if (rewind === null || rewind.state === 'refused') this.#set({ problem: error });
    else this.#set({ rewind: { stepId: rewind.stepId, state: 'refused', error } });
  }

  #onStep(stepId: string, step: StepState): void {
    const before = this.#state.steps[stepId]?.state;
    this.#set({
      steps: { ...this.#state.steps, [stepId]: step },
      checking: this.#state.checking.filter((id) => id !== stepId),
    });
    if (step.state !== 'passed' || before === 'passed') return;
    const name = this.#stepName(stepId);
    this.#set({ announcement: `${name.charAt(0).toUpperCase()}${name.slice(1)}: done.` });
  }

  #stepName(stepId: string): string {
    const index = this.lesson.steps.findIndex(({ id }) => id === stepId);
    return `step ${index + 1}, ${this.lesson.steps[index]?.title ?? stepId}`;
  }
}
