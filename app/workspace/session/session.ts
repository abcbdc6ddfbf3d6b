/**
 * The learner's session as the page uses it: its state, which components read, and what a learner can do with it. Knows no
 * framework. The state is in session-state.ts, its transitions in reduce.ts.
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

/** What a session asks of the gateway; tests hand in their own. */
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

  /** Shows somebody else's terminals, of which the page knows nothing before the hello. */
  watch(): void {
    this.#dispatch({ type: 'watch', atMs: Date.now() });
    this.connection.open();
  }

  /** Finds out what this browser has already, and continues with it. */
  async load(): Promise<void> {
    this.#terminals.loadLayout();
    const lab = this.#gateway.getLab().then(
      (found) => {
        this.#dispatch({ type: 'lab', lab: found });
      },
      () => undefined, // The session's own request fails for the same reason and says so.
    );
    await this.#find('Looking for a session');
    await lab;
  }

  /** Requests a pair; a session that failed or that is for another lesson is ended first. */
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

  /** Gives this pair up for a fresh one. */
  async reset(): Promise<void> {
    this.#dispatch({ type: 'reset', atMs: Date.now() });
    try {
      this.#onReply(given(await this.#gateway.resetSession()));
    } catch (thrown) {
      // Perhaps nothing happened at all, and the old pair is still there.
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

  /** Requests a later end. */
  async extend(): Promise<void> {
    if (isExtending(this.getState())) return;
    this.#dispatch({ type: 'extend' });
    await this.#try('Getting more time', async () => {
      const { session } = await this.#gateway.extendSession();
      if (session !== null) this.#dispatch({ type: 'extended', session });
    });
    this.#dispatch({ type: 'extend-answered' });
  }

  /** Puts off the end for want of input: the learner is at the page, though nothing is typed. */
  confirmPresence(): void {
    this.connection.here();
  }

  /** Takes both hosts back to how they were when a step began. */
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
      message: 'There is no connection to the hosts, so nothing was changed.',
      hint: 'Try again when it is back.',
    };
    this.#dispatch({ type: 'rewind-refused', stepId, problem });
  }

  /** Types a run block into the terminal that it is for, once. */
  run(stepId: string, block: number): void {
    this.#runs.run({ stepId, block });
  }

  /** The learner's answer to the question about a busy terminal; null leaves things as they are. */
  answer(how: BusyAnswer | null): void {
    this.#runs.answer(how);
  }

  /** The id of a host's terminal that is in use on this page. */
  activeTerminal(host: HostName): string {
    return this.#terminals.active(host);
  }

  /**
   * Requests one more terminal, which is shown then.
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

  /** Puts a terminal on view, in use from now on. */
  showTerminal(id: string): void {
    this.#terminals.show(id);
  }

  /**
   * Shows two terminals of a host at once; one that is not on view or, when there is none, a new one.
   * @param added gets the id of that one
   */
  splitHost(host: HostName, direction: Direction, added: (id: string) => void = () => undefined): void {
    this.#terminals.split(host, direction, added);
  }

  unsplitHost(host: HostName): void {
    this.#terminals.unsplit(host);
  }

  /** Source and destination side by side, or one above the other. */
  arrangeHosts(hosts: Direction): void {
    this.#terminals.arrangeHosts(hosts);
  }

  /** Shows that input did not arrive, until it is dismissed (null). */
  noteUndelivered(terminal: string, input: UndeliveredInput | null): void {
    this.#dispatch({ type: 'undelivered', terminal, input });
  }

  /** Makes a link for viewers; the same one until it is revoked. */
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

  /** A key with which the learner continues in another browser; undefined when there is none, and the state says why. */
  async offerHandover(): Promise<string | undefined> {
    let key: string | undefined;
    await this.#try('Making a link', async () => {
      key = await this.#gateway.offerHandover();
    });
    return key;
  }

  /**
   * Gives the learner what is kept of a terminal's output.
   * @param save puts a file where the learner keeps files
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

  /** For screen readers. */
  announce(text: string): void {
    this.#dispatch({ type: 'announce', text });
  }

  /** The learner has seen that it is their turn. */
  acknowledgeTurn(): void {
    this.#dispatch({ type: 'turn-seen' });
  }

  /** The network is back, or the page is visible again: tries at once whatever waits. */
  resume(): void {
    this.connection.wake();
    void this.#queue.now();
  }

  /** The page is hidden: terminals get no output until {@link resume}. */
  pause(): void {
    this.connection.rest();
  }

  /** The page goes away; the session stays. */
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

  /** Polling, the connection and a search for hosts follow from the phase alone. */
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

/** @throws LabError `internal` when a request for hosts got neither hosts nor a position in the queue */
function given(reply: SessionReply): SessionReply {
  if (reply.session === null && reply.queue === null)
    throw new LabError('internal', 'The server gave neither hosts nor a position in the queue.');
  return reply;
}
