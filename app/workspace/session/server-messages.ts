/** Applies the server's messages to the state. The page handles them nowhere else. */
import type { WireError } from '../../../server/protocol/errors';
import type { ServerMessage } from '../../../server/protocol/messages';
import type { PairStatus } from '../../../server/protocol/session';
import type { ShellMark, ShownCommand, TerminalInfo } from '../../../server/protocol/terminal';
import { settleLayout } from '../panes/pane-layout';
import { noTerminals, shared, toEnded, toFailed, toRequesting } from './phase-changes';
import { blockKey, refuseSent, reportedRuns, typedRun, typedRuns } from './run-state';
import type { LastCommand, RewindState, SessionState, StateIn } from './session-state';

function withTerminals<S extends StateIn<'active' | 'failed'>>(
  state: S,
  terminals: readonly TerminalInfo[],
): S {
  const kept = <T>(all: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(all).filter(([id]) => terminals.some((one) => one.id === id)));
  return {
    ...state,
    terminals,
    atPrompt: kept(state.atPrompt),
    lastCommand: kept(state.lastCommand),
    undelivered: kept(state.undelivered),
    layout: settleLayout(state.layout, terminals),
  };
}

/**
 * What remains of a rewind after a reconnect: only a refusal. The hello shows whether a requested rewind happened.
 */
const stillRefused = (rewind: RewindState | null): RewindState | null =>
  rewind?.state === 'refused' && rewind.problem.code !== 'lost' ? rewind : null;

type MessageOf<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;

function onHello(
  state: StateIn<'joining' | 'active' | 'failed'>,
  hello: MessageOf<'hello'>,
  atMs: number,
): SessionState {
  const { phase, elapsedMs, error } = hello.pair;
  // An `ended` message follows, or the server refuses the next connection and says why.
  if (phase === 'ended') return state;
  const isKnown = state.phase !== 'joining' && state.sandboxId === hello.sandboxId;
  const before = isKnown ? state : noTerminals;
  const { atPrompt, lastCommand, undelivered } = before;
  const problem: WireError = {
    code: 'not-ready',
    message: 'You have new hosts, and this command was for the old ones.',
    hint: 'Run it again.',
  };
  const runs = isKnown || state.phase === 'joining' ? state.runs : refuseSent(state.runs, problem);
  const active = withTerminals<StateIn<'active'>>(
    {
      ...shared(state),
      role: hello.role,
      phase: 'active',
      session: hello.session,
      sandboxId: hello.sandboxId,
      line: state.line,
      pair: { phase: phase === 'failed' ? 'cloning' : phase, elapsedMs, atMs },
      turnUnseen: state.phase === 'failed' ? false : state.turnUnseen,
      deadline: hello.deadline,
      extending: state.phase === 'active' && state.extending,
      saves: hello.saves,
      rewind: isKnown && state.phase === 'active' ? stillRefused(state.rewind) : null,
      steps: hello.steps,
      checking: [],
      values: hello.values,
      runs: reportedRuns(runs, hello.runs, atMs),
      question: isKnown && state.phase === 'active' ? state.question : null,
      grant: state.phase === 'active' ? state.grant : undefined,
      ...{ terminals: [], atPrompt, lastCommand, undelivered, opened: {} },
    },
    hello.terminals,
  );
  return phase === 'failed' ? toFailed(active, error) : active;
}

function onPair(state: StateIn<'active'>, { phase, elapsedMs, error }: PairStatus, atMs: number) {
  switch (phase) {
    case 'failed':
      return toFailed(state, error);
    case 'ended':
      // An `ended` message follows and says why.
      return state;
    case 'rewinding': {
      const { rewind } = state;
      const going: RewindState | null =
        rewind === null || rewind.state === 'refused' ? null : { stepId: rewind.stepId, state: 'going' };
      return {
        ...state,
        pair: { phase, elapsedMs, atMs },
        rewind: state.pair.phase === 'rewinding' ? rewind : going,
      };
    }
    case 'ready':
      return {
        ...state,
        pair: { phase, elapsedMs, atMs },
        rewind: state.rewind?.state === 'going' ? null : state.rewind,
      };
    case 'cloning':
    case 'resuming':
    case 'logging-in':
    case 'setting-clocks':
      return { ...state, pair: { phase, elapsedMs, atMs } };
  }
}

type Hosted = StateIn<'active' | 'failed'>;

/** After a reconnect, the server may repeat marks and commands. An older command never replaces a newer one. */
function onCommand<S extends Hosted>(state: S, terminal: string, command: LastCommand): S {
  const last = state.lastCommand[terminal];
  const isNews =
    last === undefined ||
    command.command > last.command ||
    (command.command === last.command && command.state === 'done');
  if (!isNews || !state.terminals.some(({ id }) => id === terminal)) return state;
  return { ...state, lastCommand: { ...state.lastCommand, [terminal]: command } };
}

function onMark<S extends Hosted>(state: S, terminal: string, mark: ShellMark, atMs: number): S {
  switch (mark.kind) {
    case 'prompt':
      return state;
    case 'start':
      return onCommand(state, terminal, { command: mark.command, state: 'running', sinceMs: atMs });
    case 'end': {
      const { command, exitCode, durationMs } = mark;
      return onCommand(state, terminal, { command, state: 'done', exitCode, durationMs });
    }
  }
}

/** Applies the commands of a repainted screen, which may include an end whose mark this page missed. */
function onScreen<S extends Hosted>(state: S, terminal: string, commands: readonly ShownCommand[]): S {
  return commands.reduce((now, { command, outputLine, endLine, exitCode, durationMs }) => {
    if (outputLine === null) return now;
    return onCommand(
      now,
      terminal,
      endLine === null
        ? { command, state: 'running', sinceMs: null }
        : { command, state: 'done', exitCode, durationMs },
    );
  }, state);
}

function onTerminals<S extends Hosted>(state: S, message: MessageOf<'terminals'>): S {
  const next = withTerminals(state, message.terminals);
  const opened = message.terminals.find(({ id }) => !state.terminals.some((one) => one.id === id));
  const { requestId } = message;
  return requestId === undefined || opened === undefined
    ? next
    : { ...next, opened: { ...next.opened, [requestId]: opened.id } };
}

function onRunRefused(state: StateIn<'active'>, message: MessageOf<'run-refused'>): SessionState {
  const { runId, stepId, block, terminal, busy, error } = message;
  const key = blockKey(stepId, block);
  const run = state.runs[key];
  // Only the page that sent the run asks the learner.
  if (run?.state !== 'sent' || run.runId !== runId) return state;
  return {
    ...state,
    runs: { ...state.runs, [key]: { state: 'refused', problem: error } },
    question: busy === undefined ? state.question : { stepId, block, terminal, busy },
  };
}

/** While a rewind is requested, an error is its answer. Any other error belongs to no request. */
function onError(state: SessionState, problem: WireError): SessionState {
  if (state.phase !== 'active' || state.rewind === null || state.rewind.state === 'refused')
    return { ...state, problem };
  return { ...state, rewind: { stepId: state.rewind.stepId, state: 'refused', problem } };
}

/** @param atMs when the message came. Terminal output does not pass through here. */
export function onMessage(state: SessionState, message: ServerMessage, atMs: number): SessionState {
  const hasLine = state.phase === 'joining' || state.phase === 'active' || state.phase === 'failed';
  if (!hasLine) return state;
  const hosted = state.phase === 'joining' ? undefined : state;
  const active = state.phase === 'active' ? state : undefined;
  switch (message.type) {
    case 'hello':
      return onHello(state, message, atMs);
    case 'pair':
      return active === undefined ? state : onPair(active, message.pair, atMs);
    case 'step':
      if (active === undefined) return state;
      return {
        ...active,
        steps: { ...active.steps, [message.stepId]: message.step },
        checking: active.checking.filter((id) => id !== message.stepId),
      };
    case 'values':
      if (active === undefined) return state;
      return { ...active, values: { ...active.values, ...message.values } };
    case 'run': {
      if (active === undefined) return state;
      const key = blockKey(message.run.stepId, message.run.block);
      return { ...active, runs: { ...active.runs, [key]: typedRun(message.run, atMs) } };
    }
    case 'run-refused':
      return active === undefined ? state : onRunRefused(active, message);
    case 'terminals':
      return hosted === undefined ? state : onTerminals(hosted, message);
    case 'prompt':
      if (hosted?.terminals.some(({ id }) => id === message.terminal) !== true) return state;
      return { ...hosted, atPrompt: { ...hosted.atPrompt, [message.terminal]: message.idle } };
    case 'mark':
      return hosted === undefined ? state : onMark(hosted, message.terminal, message.mark, atMs);
    case 'screen':
      return hosted === undefined ? state : onScreen(hosted, message.terminal, message.commands);
    case 'deadline':
      return active === undefined ? state : { ...active, deadline: message.deadline };
    case 'saves':
      return active === undefined ? state : { ...active, saves: message.saves };
    case 'rewound':
      if (active === undefined) return state;
      return {
        ...active,
        steps: message.steps,
        checking: [],
        values: message.values,
        runs: typedRuns(message.runs, atMs),
        rewind: null,
        lastCommand: {},
        question: null,
      };
    case 'ended':
      // A viewer's link was for the old hosts.
      return message.reason === 'reset' && state.role === 'owner'
        ? toRequesting(state, 'other-page', atMs)
        : toEnded(state, message.reason);
    case 'error':
      return onError(state, message.error);
    case 'attached':
    case 'size':
    case 'input-ack':
    case 'pong':
      return state;
  }
}
