/**
 * Everything that the lesson page knows about the learner's session, as one immutable state that views read, and the
 * few things that a learner can do with it. Knows no framework.
 */
import type { Lesson } from '../../server/lessons/lesson';
import { LabError, type WireError } from '../../server/protocol/errors';
import type { HostName } from '../../server/protocol/hosts';
import type {
  EndReason,
  LabInfo,
  PairPhase,
  PairStatus,
  ServerMessage,
  SessionInfo,
  StepState,
} from '../../server/protocol/messages';
import { deleteSession, getLab, getSession, openSocket, postSession } from './api';
import { Connection, type ConnectionState } from './connection';

/** A pair's phase, or where the page is before there is a pair. */
export type Phase = 'loading' | 'none' | 'requesting' | PairPhase;

/** What became of a click on Run. */
export type RunState = { state: 'sent' | 'typed' } | { state: 'refused'; error: WireError };

export interface SessionState {
  phase: Phase;
  lab: LabInfo | null;
  session: SessionInfo | null;
  /** The session that this browser has for another lesson, which stands in the way of one for this. */
  otherSession: SessionInfo | null;
  connection: ConnectionState;
  pair: PairStatus | null;
  /** When `pair` was said, in Unix milliseconds of this computer. */
  pairAtMs: number;
  endReason: EndReason | null;
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

export const blockKey = (stepId: string, block: number): string => `${stepId}/${block}`;

const initial: SessionState = {
  phase: 'loading',
  lab: null,
  session: null,
  otherSession: null,
  connection: 'closed',
  pair: null,
  pairAtMs: 0,
  endReason: null,
  steps: {},
  checking: [],
  values: {},
  runs: {},
  atPrompt: {},
  problem: null,
  announcement: '',
};

export class LabSession {
  #state = initial;
  readonly #listeners = new Set<() => void>();
  readonly connection: Connection;

  constructor(readonly lesson: Lesson) {
    this.connection = new Connection({
      openSocket,
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
        setTimeout: (callback, ms) => window.setTimeout(callback, ms),
        clearTimeout: (timer) => {
          window.clearTimeout(timer as number);
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
    const lab = getLab().then(
      (found) => {
        this.#set({ lab: found });
      },
      () => undefined, // The session's own request fails for the same reason and says so.
    );
    await this.#try('Looking for a session', async () => {
      const session = await getSession();
      if (session === null) this.#set({ phase: 'none' });
      else if (session.lessonId === this.lesson.id) this.#begin(session);
      else this.#set({ phase: 'none', otherSession: session });
    });
    await lab;
  }

  /** Asks for a pair; a session that failed or that is for another lesson is ended first. */
  async start(): Promise<void> {
    const inTheWay =
      this.#state.otherSession ?? (this.#state.phase === 'failed' ? this.#state.session : null);
    this.connection.close();
    this.#set({
      ...initial,
      lab: this.#state.lab,
      otherSession: this.#state.otherSession,
      phase: 'requesting',
      pairAtMs: Date.now(),
    });
    await this.#try('Starting the hosts', async () => {
      if (inTheWay !== null) await deleteSession();
      const session = await postSession(this.lesson.id);
      this.#set({ otherSession: null });
      if (session !== null) this.#begin(session);
    });
  }

  async end(): Promise<void> {
    await this.#try('Ending the session', async () => {
      await deleteSession();
      this.#ended('by-learner');
    });
  }

  /** Types a run block into its host's terminal, once. */
  run(stepId: string, block: number): void {
    const key = blockKey(stepId, block);
    if (this.#state.runs[key]?.state === 'sent') return;
    if (this.#state.phase !== 'ready') {
      const message =
        this.#state.phase === 'none' || this.#state.phase === 'ended'
          ? 'There are no hosts yet.'
          : 'The hosts are not ready yet.';
      const error = {
        code: 'not-ready' as const,
        message,
        hint: 'Start them, and run this when their prompts are there.',
      };
      this.#setRun(key, { state: 'refused', error });
      return;
    }
    this.#setRun(key, { state: 'sent' });
    this.connection.run({ runId: crypto.randomUUID(), stepId, block });
  }

  check(stepId: string): void {
    if (this.#state.connection !== 'open') return;
    this.#set({ checking: [...this.#state.checking.filter((id) => id !== stepId), stepId] });
    this.connection.check(stepId);
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
        const otherSession = await getSession().catch(() => null);
        this.#set({ phase: 'none', otherSession, problem: error.toWire() });
      } else {
        this.#set({ problem: error.toWire(), ...(waiting ? { phase: 'none' } : {}) });
      }
    }
  }

  #begin(session: SessionInfo): void {
    this.#set({ session, phase: 'cloning', pair: null, pairAtMs: Date.now() });
    this.connection.open();
  }

  #ended(endReason: EndReason | null): void {
    this.connection.close();
    this.#set({ phase: 'ended', endReason, atPrompt: {}, announcement: 'The session has ended.' });
  }

  #onMessage(message: ServerMessage): void {
    switch (message.type) {
      case 'hello': {
        const typed = Object.fromEntries(message.ran.map((key) => [key, { state: 'typed' as const }]));
        this.#set({
          session: message.session,
          steps: message.steps,
          checking: [],
          values: message.values,
          runs: { ...this.#state.runs, ...typed },
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
      case 'ended':
        this.#ended(message.reason);
        break;
      case 'error':
        this.#set({ problem: message.error });
        break;
      case 'gap':
        break;
    }
  }

  #onPair(pair: PairStatus): void {
    const wasReady = this.#state.phase === 'ready';
    this.#set({ pair, pairAtMs: Date.now(), phase: pair.phase });
    if (pair.phase === 'ready' && !wasReady) this.#set({ announcement: 'Both hosts are ready.' });
    if (pair.phase === 'failed') this.#set({ announcement: 'The hosts could not be started.' });
  }

  #onStep(stepId: string, step: StepState): void {
    const before = this.#state.steps[stepId]?.state;
    this.#set({
      steps: { ...this.#state.steps, [stepId]: step },
      checking: this.#state.checking.filter((id) => id !== stepId),
    });
    if (step.state !== 'passed' || before === 'passed') return;
    const index = this.lesson.steps.findIndex(({ id }) => id === stepId);
    const title = this.lesson.steps[index]?.title ?? stepId;
    this.#set({ announcement: `Step ${index + 1} is done: ${title}.` });
  }
}
