/**
 * The learner's session on the page: the state that components read, and the learner's actions. Independent of any framework. The state
 * is defined in session-state.ts, its transitions in reduce.ts.
 */
import '../../../server/protocol/zod-without-eval';
import { Connection } from '../../../server/client/connection';
import type { Lesson } from '../../../server/lessons/lesson';
import { LabError, type WireError } from '../../../server/protocol/errors';
import type { HostName } from '../../../server/protocol/hosts';
import type { SessionReply } from '../../../server/protocol/http';
import type { Direction } from '../panes/pane-layout';
import { announcementOf } from './announcements';
import { BrowserGateway } from './browser-gateway';
import { everyInBackground, type Every } from './every';
import { QueuePoll } from './queue-poll';
import { randomId } from './random-id';
import { RunActions, type BusyAnswer } from './run-actions';
import { isExtending, isOnline, isReady, lineOf } from './selectors';
import { reduce } from './reduce';
import { initialState, type SessionEvent, type SessionState, type UndeliveredInput } from './session-state';
import { SessionStore } from './session-store';
import { browserLayouts, TerminalActions, type LayoutStore } from './terminal-actions';

/** The gateway as a session uses it; tests pass their own. */
export type Gateway = Pick<
  BrowserGateway,
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

export class LabSession {
  readonly connection: Connection;
  readonly #gateway: Gateway;
  readonly #store: SessionStore;
  readonly #queue: QueuePoll;
  readonly #terminals: TerminalActions;
  readonly #runs: RunActions;

  constructor(
    readonly lesson: Lesson,
    gateway: Gateway = new BrowserGateway(),
    every: Every = everyInBackground,
    layoutStore: LayoutStore = browserLayouts,
  ) {
    this.#gateway = gateway;
    this.#store = new SessionStore(
      (before, event) => {
        const after = reduce(before, event);
        const announcement = announcementOf(lesson, before, event, after);
        return announcement === undefined ? after : { ...after, announcement };
      },
      (before, after) => {
        this.#onChange(before, after);
      },
    );
    this.connection = new Connection({
      openSocket: gateway.openSocket,
      onState: (state) => {
        this.#dispatch({ type: 'line', state, atMs: Date.now() });
      },
      onSilence: (sinceMs) => {
        this.#dispatch({ type: 'line-silent', sinceMs });
      },
      onMessage: (message) => {
        this.#dispatch({ type: 'message', message, atMs: Date.now() });
      },
      onError: (error) => {
        this.#dispatch({ type: 'line-failed', problem: error.toWire() });
      },
      onInputLost: (terminal, keys) => {
        this.noteUndelivered(terminal, { kind: 'lost', keys });
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
    this.#queue = new QueuePoll(
      every,
      () => this.#gateway.getSession(),
      (reply) => {
        this.#onReply(reply);
      },
      (problem) => {
        this.#dispatch({ type: 'problem', problem });
      },
    );
    this.#terminals = new TerminalActions(this.#store, this.connection, layoutStore);
    this.#runs = new RunActions(lesson, this.#store, this.connection, this.#terminals);
  }

  readonly subscribe = (listener: () => void): (() => void) => this.#store.subscribe(listener);
  readonly getState = (): SessionState => this.#store.getState();
  readonly getInitialState = (): SessionState => initialState;

  /** Shows another learner's terminals. Before the hello, the page knows nothing about them. */
  watch(): void {
    this.#dispatch({ type: 'watch', atMs: Date.now() });
    this.connection.open();
  }

  /** Finds this browser's session or queue position, and continues with it. */
  async load(): Promise<void> {
    this.#terminals.loadLayout();
    const lab = this.#gateway.getLab().then(
      (found) => {
        this.#dispatch({ type: 'lab', lab: found });
      },
      () => undefined, // The session request fails for the same reason and reports it.
    );
    await this.#find('Looking for a session');
    await lab;
  }

  /** Requests a session. Ends a failed session, or one for another lesson, first. */
  async start(): Promise<void> {
    const state = this.getState();
    const isInTheWay = (state.phase === 'none' && state.otherSession !== null) || state.phase === 'failed';
    this.#dispatch({ type: 'start', atMs: Date.now() });
    await this.#try('Starting the hosts', async () => {
      if (isInTheWay) await this.#gateway.deleteSession();
      this.#dispatch({ type: 'other-session-deleted' });
      this.#onReply(given(await this.#gateway.postSession(this.lesson.id)));
    });
  }

  /** Replaces this pair with a fresh one. */
  async reset(): Promise<void> {
    this.#dispatch({ type: 'reset', atMs: Date.now() });
    try {
      this.#onReply(given(await this.#gateway.resetSession()));
    } catch (thrown) {
      // The request may have had no effect, and then the old pair is still there.
      await this.#find('Looking for a session');
      this.#dispatch({ type: 'problem', problem: LabError.from(thrown, 'Getting fresh hosts').toWire() });
    }
  }

  async end(): Promise<void> {
    await this.#try('Ending the session', async () => {
      await this.#gateway.deleteSession();
      this.#dispatch({ type: 'session-deleted' });
    });
  }

  async leaveQueue(): Promise<void> {
    this.#dispatch({ type: 'leave-queue' });
    await this.#try('Leaving the queue', () => this.#gateway.deleteSession());
  }

  /** Postpones the session's end. */
  async extend(): Promise<void> {
    if (isExtending(this.getState())) return;
    this.#dispatch({ type: 'extend' });
    await this.#try('Getting more time', async () => {
      const { session } = await this.#gateway.extendSession();
      if (session !== null) this.#dispatch({ type: 'extended', session });
    });
    this.#dispatch({ type: 'extend-answered' });
  }

  /** Restarts the idle timeout, because the learner is at the page without typing. */
  confirmPresence(): void {
    this.connection.here();
  }

  /** Returns both hosts to their state at the start of a step. */
  rewind(stepId: string): void {
    const state = this.getState();
    const isRequested = state.phase === 'active' && state.rewind?.state === 'sent';
    if (!isReady(state) || isRequested) return;
    if (this.connection.rewind(stepId)) {
      this.#dispatch({ type: 'rewind-sent', stepId });
      return;
    }
    const problem: WireError = {
      code: 'lost',
      message: 'There is no connection to the hosts, so nothing changed.',
      hint: 'Try again when the page has reconnected.',
    };
    this.#dispatch({ type: 'rewind-refused', stepId, problem });
  }

  /** Types a run block into its terminal, once. */
  run(stepId: string, block: number): void {
    this.#runs.run({ stepId, block });
  }

  /** Applies the learner's answer about a busy terminal; null cancels. */
  answer(how: BusyAnswer | null): void {
    this.#runs.answer(how);
  }

  /** The id of a host's terminal in use on this page. */
  activeTerminal(host: HostName): string {
    return this.#terminals.active(host);
  }

  /**
   * Requests one more terminal and shows it.
   * @param opened gets its id; null when it did not open
   */
  openTerminal(host: HostName, opened?: (terminal: string | null) => void): void {
    this.#terminals.open(host, opened);
  }

  closeTerminal(id: string): void {
    this.connection.closeTerminal(id);
  }

  renameTerminal(id: string, name: string): void {
    this.connection.renameTerminal(id, name);
  }

  /** Shows a terminal and makes it the one in use. */
  showTerminal(id: string): void {
    this.#terminals.show(id);
  }

  /**
   * Shows a second terminal of a host: a hidden one or, if there is none, a new one.
   * @param added gets the id of the second terminal
   */
  splitHost(host: HostName, direction: Direction, added: (id: string) => void = () => undefined): void {
    this.#terminals.split(host, direction, added);
  }

  unsplitHost(host: HostName): void {
    this.#terminals.unsplit(host);
  }

  /** Arranges source and destination side by side, or stacked. */
  arrangeHosts(hosts: Direction): void {
    this.#terminals.arrangeHosts(hosts);
  }

  /** Shows that input did not arrive; null dismisses it. */
  noteUndelivered(terminal: string, input: UndeliveredInput | null): void {
    this.#dispatch({ type: 'undelivered', terminal, input });
  }

  /** Gets the viewers' link; the same one until it is revoked. */
  async share(): Promise<void> {
    await this.#try('Sharing the view', async () => {
      this.#dispatch({ type: 'grant', grant: await this.#gateway.grantView() });
    });
  }

  async stopSharing(): Promise<void> {
    await this.#try('Revoking the link', async () => {
      await this.#gateway.revokeView();
      this.#dispatch({ type: 'grant', grant: null });
    });
  }

  /** A key that opens the session in another browser. Undefined when there is none; the state then has the error. */
  async offerHandover(): Promise<string | undefined> {
    let key: string | undefined;
    await this.#try('Creating the link', async () => {
      key = await this.#gateway.offerHandover();
    });
    return key;
  }

  /**
   * Downloads a terminal's kept output.
   * @param save saves a file on the learner's computer
   */
  async takeRecording(terminal: string, save: (name: string, content: Blob) => void): Promise<void> {
    await this.#try('Downloading the recording', async () => {
      const { name, content } = await this.#gateway.getCast(terminal);
      save(name, content);
      this.#dispatch({ type: 'recording-saved', name });
    });
  }

  check(stepId: string): void {
    if (!isOnline(this.getState())) return;
    this.#dispatch({ type: 'check', stepId });
    this.connection.check(stepId);
  }

  /** Announces a text to screen readers. */
  announce(text: string): void {
    this.#dispatch({ type: 'announce', text });
  }

  /** The learner has noticed that it is their turn. */
  acknowledgeTurn(): void {
    this.#dispatch({ type: 'turn-seen' });
  }

  /** The network is back, or the page is visible again: retries everything at once. */
  resume(): void {
    this.connection.wake();
    void this.#queue.now();
  }

  /** The page is hidden: terminals get no output until {@link resume}. */
  pause(): void {
    this.connection.rest();
  }

  /** The page closes; the session stays. */
  close(): void {
    this.#queue.stop();
    this.connection.close();
  }

  dismissProblem(): void {
    this.#dispatch({ type: 'problem', problem: null });
  }

  #dispatch(event: SessionEvent): void {
    this.#store.dispatch(event);
  }

  /** Starts and stops polling, the connection and the search for hosts. They depend only on the phase. */
  #onChange(before: SessionState, after: SessionState): void {
    if (after.phase !== 'queued') this.#queue.stop();
    else if (before.phase !== 'queued') this.#queue.start();

    if (lineOf(before) === null && lineOf(after) !== null) this.connection.open();
    if (lineOf(before) !== null && lineOf(after) === null) this.connection.close();

    const isFollowing = after.phase === 'requesting' && after.requestedBy === 'other-page';
    if (isFollowing && before.phase !== 'requesting') void this.#find('Looking for the fresh hosts');
  }

  #onReply(reply: SessionReply): void {
    this.#dispatch({ type: 'reply', reply, lessonId: this.lesson.id, atMs: Date.now() });
  }

  async #find(doing: string): Promise<void> {
    await this.#try(doing, async () => {
      this.#onReply(await this.#gateway.getSession());
    });
  }

  async #try(doing: string, work: () => Promise<void>): Promise<void> {
    this.dismissProblem();
    try {
      await work();
    } catch (thrown) {
      const error = LabError.from(thrown, doing);
      const problem = error.toWire();
      if (error.code !== 'session-exists') {
        this.#dispatch({ type: 'request-failed', problem });
        return;
      }
      const otherSession = await this.#gateway.getSession().then(
        ({ session }) => session,
        () => null,
      );
      this.#dispatch({ type: 'session-exists', otherSession, problem });
    }
  }
}

/** @throws LabError `internal` when the reply has neither a session nor a position in the queue */
function given(reply: SessionReply): SessionReply {
  if (reply.session === null && reply.queue === null)
    throw new LabError('internal', 'The server gave neither hosts nor a position in the queue.');
  return reply;
}
