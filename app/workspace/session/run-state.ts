/** The state of the lesson's commands: reported by the runner, or set by the page for a command that was not typed. */
import type { WireError } from '../../../server/protocol/errors';
import type { RunReport } from '../../../server/protocol/terminal';

/** A command's state by its shell's marks. */
export type CommandState =
  | { state: 'running'; sinceMs: number | null }
  | { state: 'done'; exitCode: number | null; durationMs: number | null };

/** A click on Run whose command was not typed. */
export interface RefusedRun {
  state: 'refused';
  problem: WireError;
}

/** The state of a click on Run. Only the runner's reports say that a command was typed and how it ended. */
export type RunState =
  /** Requested and not answered. */
  | { state: 'sent'; runId: string }
  /** The terminal, and the command's state; null until the shell marks its start. */
  | { state: 'typed'; terminal: string; command: CommandState | null }
  | RefusedRun;

/** A run whose hosts are gone: neither in flight nor running. */
export type SettledRun =
  RefusedRun | { state: 'typed'; terminal: string; command: Extract<CommandState, { state: 'done' }> | null };

/** By `stepId/block`. */
export type Runs<T extends RunState = RunState> = Readonly<Record<string, T>>;

/** The key of a run block in {@link Runs}. */
export const blockKey = (stepId: string, block: number): string => `${stepId}/${block}`;

/** @param atMs when the report arrived, in Unix milliseconds of this computer */
export function typedRun({ terminal, command }: RunReport, atMs: number): RunState {
  switch (command.state) {
    case 'typed':
      return { state: 'typed', terminal, command: null };
    case 'running':
      return { state: 'typed', terminal, command: { state: 'running', sinceMs: atMs - command.elapsedMs } };
    case 'done':
      return { state: 'typed', terminal, command };
  }
}

/** As {@link typedRun}. */
export const typedRuns = (reports: readonly RunReport[], atMs: number): Runs =>
  Object.fromEntries(
    reports.map((report) => [blockKey(report.stepId, report.block), typedRun(report, atMs)]),
  );

/** The runs after a reconnect. The reports cover the typed ones; the client repeats the others. */
export function reportedRuns(runs: Runs, reports: readonly RunReport[], atMs: number): Runs {
  const refused = Object.entries(runs).filter(([, { state }]) => state === 'refused');
  const stillSent = Object.entries(runs).filter(
    ([, run]) => run.state === 'sent' && !reports.some(({ runId }) => runId === run.runId),
  );
  return { ...Object.fromEntries(refused), ...typedRuns(reports, atMs), ...Object.fromEntries(stillSent) };
}

/** Refuses the runs that still wait for an answer, because none can come. */
export const refuseSent = (runs: Runs, problem: WireError): Runs =>
  Object.fromEntries(
    Object.entries(runs).map(([key, run]) => [
      key,
      run.state === 'sent' ? { state: 'refused', problem } : run,
    ]),
  );

/** Runs of hosts that are gone. @param problem why a command that was sent was not typed */
export function settleRuns(runs: Runs, problem: WireError): Runs<SettledRun> {
  const settle = (run: RunState): SettledRun => {
    if (run.state === 'sent') return { state: 'refused', problem };
    if (run.state === 'refused') return run;
    const { command, terminal } = run;
    return { state: 'typed', terminal, command: command?.state === 'done' ? command : null };
  };
  return Object.fromEntries(Object.entries(runs).map(([key, run]) => [key, settle(run)]));
}
