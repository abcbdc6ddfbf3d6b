/** Types the lesson's commands into terminals: which terminal, and what to do when it is busy. */
import type { Connection } from '../../../server/client/connection';
import type { Lesson } from '../../../server/lessons/lesson';
import type { WireError } from '../../../server/protocol/errors';
import type { HostName } from '../../../server/protocol/hosts';
import type { ClientMessage } from '../../../server/protocol/messages';
import { randomId } from './random-id';
import { blockKey } from './run-state';
import { isReady, promptsOf, questionOf, terminalsOf, shownPhase } from './selectors';
import type { SessionState } from './session-state';
import type { Store } from './session-store';
import type { TerminalActions } from './terminal-actions';

/** How long a new terminal's shell may take to show its first prompt. On a slow machine it takes half a minute. */
const newShellMs = 60_000;

type WhenBusy = Extract<ClientMessage, { type: 'run' }>['whenBusy'];

/** What the learner wants done about a busy terminal. */
export type BusyAnswer = 'interrupt' | 'cut-line' | 'new-terminal';

interface Block {
  stepId: string;
  block: number;
}

function whyNotReady(state: SessionState): WireError {
  const code = 'not-ready' as const;
  switch (shownPhase(state)) {
    case 'queued':
      return {
        code,
        message: 'There are no hosts yet.',
        hint: 'You are in the queue. Run this when your hosts are ready.',
      };
    case 'rewinding':
      return {
        code,
        message: 'The hosts are returning to an earlier state.',
        hint: 'Run this when both hosts are ready.',
      };
    case 'none':
    case 'ended':
      return {
        code,
        message: 'There are no hosts yet.',
        hint: 'Start your hosts, then run this.',
      };
    case 'failed':
      return {
        code,
        message: 'The hosts have failed.',
        hint: 'Start new hosts, then run this.',
      };
    default:
      return {
        code,
        message: 'The hosts are not ready yet.',
        hint: 'Run this when both have a prompt.',
      };
  }
}

export class RunActions {
  readonly #lesson: Lesson;
  readonly #store: Store;
  readonly #connection: Connection;
  readonly #terminals: TerminalActions;

  constructor(lesson: Lesson, store: Store, connection: Connection, terminals: TerminalActions) {
    this.#lesson = lesson;
    this.#store = store;
    this.#connection = connection;
    this.#terminals = terminals;
  }

  /** Types a run block into its terminal, once. */
  run(block: Block): void {
    const definition = this.#lesson.steps.find(({ id }) => id === block.stepId)?.runs[block.block];
    const state = this.#store.getState();
    if (definition === undefined || this.#isSent(state, block)) return;
    const { host } = definition;
    const [first, second] = terminalsOf(state).filter((one) => one.host === host);
    if (definition.terminal === 2 && second === undefined && isReady(state)) {
      this.#runInNew(block, host);
      return;
    }
    // A lesson with two terminals names the one that it means. Otherwise the command goes to the terminal in use.
    const keepsApart = this.#lesson.steps.some(({ runs }) =>
      runs.some((one) => one.host === host && one.terminal === 2),
    );
    const meant = (definition.terminal === 2 ? second : keepsApart ? first : undefined)?.id;
    if (meant !== undefined) this.#terminals.show(meant);
    this.#send(block, meant ?? this.#terminals.active(host), 'refuse');
  }

  /** Applies the learner's answer about a busy terminal; null cancels. */
  answer(how: BusyAnswer | null): void {
    const question = questionOf(this.#store.getState());
    this.#store.dispatch({ type: 'question-answered' });
    if (question === null || how === null) return;
    if (how !== 'new-terminal') {
      this.#send(question, question.terminal, how);
      return;
    }
    const host = this.#terminals.hostOf(question.terminal);
    if (host !== undefined) this.#runInNew(question, host);
  }

  #isSent(state: SessionState, { stepId, block }: Block, runId?: string): boolean {
    const run = state.runs[blockKey(stepId, block)];
    return run?.state === 'sent' && (runId === undefined || run.runId === runId);
  }

  #refuse({ stepId, block }: Block, problem: WireError): void {
    this.#store.dispatch({ type: 'run-refused', stepId, block, problem });
  }

  #send({ stepId, block }: Block, terminal: string, whenBusy: WhenBusy, runId = randomId()): void {
    const state = this.#store.getState();
    if (!isReady(state)) {
      this.#refuse({ stepId, block }, whyNotReady(state));
      return;
    }
    this.#store.dispatch({ type: 'run-sent', stepId, block, runId });
    this.#connection.run({ runId, stepId, block, terminal, whenBusy });
  }

  /** Opens a terminal and runs a block in it as soon as it has a prompt. */
  #runInNew({ stepId, block }: Block, host: HostName): void {
    const runId = randomId();
    this.#store.dispatch({ type: 'run-sent', stepId, block, runId });
    const isWanted = (): boolean => this.#isSent(this.#store.getState(), { stepId, block }, runId);
    const refuse = (message: string): void => {
      if (!isWanted()) return;
      const hint = 'Run the command again when the terminal has a prompt.';
      this.#refuse({ stepId, block }, { code: 'not-ready', message, hint });
    };
    const isRequested = this.#terminals.open(host, (terminal) => {
      if (terminal === null) refuse('The new terminal did not open.');
      else this.#runAtFirstPrompt({ stepId, block }, terminal, runId, isWanted, refuse);
    });
    if (!isRequested) refuse('There is no connection, so no terminal was opened.');
  }

  #runAtFirstPrompt(
    block: Block,
    terminal: string,
    runId: string,
    isWanted: () => boolean,
    refuse: (message: string) => void,
  ): void {
    const timer = setTimeout(() => {
      stopWaiting();
      refuse('The new terminal did not show a prompt in time.');
    }, newShellMs);
    const stopWaiting = this.#store.when(
      (state) => (!isWanted() ? 'given-up' : promptsOf(state)[terminal] === true ? 'prompt' : undefined),
      (outcome) => {
        clearTimeout(timer);
        if (outcome === 'prompt') this.#send(block, terminal, 'refuse', runId);
      },
    );
  }
}
