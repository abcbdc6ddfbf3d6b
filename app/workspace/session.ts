/**
 * Everything that the lesson page knows about the learner's session, as one immutable state that views read, and the
 * few things that a learner can do with it. Knows no framework.
 */
import type { Lesson } from '../../server/lessons/lesson';
import { LabError, type WireError } from '../../server/protocol/errors';
import type { HostName } from '../../server/protocol/hosts';
import type {
  Deadline,
  EndReason,
  LabInfo,
  PairPhase,
  PairStatus,
  QueuePlace,
  SavedState,
  ServerMessage,
  SessionInfo,
  SessionReply,
  StepState,
} from '../../server/protocol/messages';
import * as httpApi from './api';
import { Connection, type ConnectionState } from './connection';
import { everyInBackground } from './every';
import { timeOfDay } from '../ui/time';

/** How often a queued page asks for its place. */
export const queuePollMs = 2_000;

/** What a session asks of the server; tests hand in their own. */
export type Api = Pick<
  typeof httpApi,
  'getLab' | 'getSession' | 'postSession' | 'deleteSession' | 'resetSession' | 'extendSession' | 'openSocket'
>;

/** Calls back again and again until the returned function is called. */
export type Every = (ms: number, callback: () => void) => () => void;

/** A pair's phase, or where the page is before there is a pair. */
export type Phase = 'loading' | 'none' | 'requesting' | 'queued' | PairPhase;

/** What became of a click on Run. */
export type RunState = { state: 'sent' | 'typed' } | { state: 'refused'; error: WireError };

/** A way back to the start of a step: asked for, under way, or refused. */
export type RewindState =
  { stepId: string; state: 'sent' | 'going' } | { stepId: string; state: 'refused'; error: WireError };

export interface SessionState {
  phase: Phase;
  lab: LabInfo | null;
  session: SessionInfo | null;
  /** The session that this browser has for another lesson, which stands in the way of one for this. */
  otherSession: SessionInfo | null;
  /** The place in the queue, for this lesson or another one; only in phase `queued`. */
  queue: QueuePlace | null;
  /** The pair came by itself, out of the queue, and the learner may not have seen it yet. */
  called: boolean;
  connection: ConnectionState;
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
  /** Whether the host's shell is at its prompt; absent until it says so. */
  atPrompt: Readonly<Partial<Record<HostName, boolean>>>;
  /** The last failure that is nobody else's to show. */
  problem: WireError | null;
  /** For screen readers: the last thing that happened by itself. */
  announcement: string;
}

/** The pair is there, if not always at its prompts. */
export const hasPair = ({ phase }: SessionState): boolean => phase === 'ready' || phase === 'rewinding';

export const blockKey = (stepId: string, block: number): string => `${stepId}/${block}`;

const initial: SessionState = {
  phase: 'loading',
  lab: null,
  session: null,
  otherSession: null,
  queue: null,
  called: false,
  connection: 'closed',
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
  problem: null,
  announcement: '',
};

/** A UUID, version 4. `crypto.randomUUID` is missing where a page comes over plain HTTP, as in many a workshop. */
function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

const typed = (ran: readonly string[]): Record<string, RunState> =>
  Object.fromEntries(ran.map((key) => [key, { state: 'typed' }]));

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

  constructor(
    readonly lesson: Lesson,
    private readonly api: Api = httpApi,
    private readonly every: Every = everyInBackground,
  ) {
    this.connection = new Connection({
      openSocket: api.openSocket,
      onState: (connection) => {
        this.#set({ connection });
      },
      onMessage: (message) => {
        this.#onMessage(message);
      },
      onError: (error) => {
        if (error.code === 'no-session' || error.code === 'session-ended') this.#ended(null);
        else this.#set({ problem: error.toWire() });
      },
      clock: {
        setTimeout: (callback, ms) => setTimeout(callback, ms),
        clearTimeout: (timer) => {
          clearTimeout(timer as number | undefined);
        },
        random: Math.random,
      },
    });
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getState = (): SessionState => this.#state;
  readonly getInitialState = (): SessionState => initial;

  /** Finds out what this browser has already, and goes on with it. */
  async load(): Promise<void> {
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

  /** Types a run block into its host's terminal, once. */
  run(stepId: string, block: number): void {
    const key = blockKey(stepId, block);
    if (this.#state.runs[key]?.state === 'sent') return;
    if (this.#state.phase !== 'ready') {
      this.#setRun(key, {
        state: 'refused',
        error: { code: 'not-ready', ...whyNotReady(this.#state.phase) },
      });
      return;
    }
    this.#setRun(key, { state: 'sent' });
    this.connection.run({ runId: randomId(), stepId, block });
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
    this.connection.retryNow();
    if (this.#state.phase === 'queued') void this.#poll();
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
    const { lab, otherSession } = this.#state;
    this.#set({ ...initial, lab, otherSession, phase: 'requesting', pairAtMs: Date.now() });
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

  #wait(queue: QueuePlace): void {
    const before = this.#state.queue?.place;
    this.#set({ phase: 'queued', queue, problem: null });
    if (queue.place !== before) this.announce(`You are number ${queue.place} in the queue.`);
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
      atPrompt: {},
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
        const unanswered = Object.entries(this.#state.runs).filter(([, { state }]) => state !== 'typed');
        this.#set({
          session: message.session,
          steps: message.steps,
          checking: [],
          values: message.values,
          runs: { ...Object.fromEntries(unanswered), ...typed(message.ran) },
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
      case 'run': {
        const key = blockKey(message.stepId, message.block);
        if (message.result === 'typed') {
          this.#setRun(key, { state: 'typed' });
        } else {
          const error = message.error ?? {
            code: 'internal',
            message: 'It was refused, and no reason was given.',
          };
          this.#setRun(key, { state: 'refused', error });
        }
        break;
      }
      case 'prompt': {
        const host = this.connection.hostOf(message.terminal);
        if (host !== undefined) this.#set({ atPrompt: { ...this.#state.atPrompt, [host]: message.idle } });
        break;
      }
      case 'deadline':
        this.#onDeadline(message.deadline);
        break;
      case 'saves':
        this.#set({ saves: message.saves });
        break;
      case 'rewound':
        this.#set({
          steps: message.steps,
          checking: [],
          values: message.values,
          runs: typed(message.ran),
          rewind: null,
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
      case 'gap':
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
