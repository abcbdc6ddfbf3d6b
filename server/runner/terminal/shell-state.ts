/**
 * What a terminal's shell is doing, as far as its marks and what was typed into it tell. Transitions are pure.
 *
 * The guest prints the marks and can forge them, in any order. So every transition takes every state.
 */

/** A command that the shell has begun. */
export interface Command {
  /** Counts the terminal's commands from 1. */
  readonly command: number;
  /** The run that typed it. Absent for a command that the learner typed. */
  readonly runId?: string;
  readonly atMs: number;
}

interface Live {
  /** When something was typed last, in Unix milliseconds. 0 before that. */
  readonly typedAtMs: number;
}

export type ShellState =
  | { readonly at: 'gone' }
  /** The shell has said nothing yet. It may be a shell that an earlier attach left with a half-typed line. */
  | (Live & { readonly at: 'unknown' })
  | (Live & {
      readonly at: 'prompt';
      /** `typed`: something was typed since the prompt came, or may have been. */
      readonly line: 'clean' | 'typed';
      /** The shell has said that the line ended. The next prompt is a new prompt, not this one redrawn. */
      readonly isLineOver: boolean;
      /** The prompt appeared while this command was still running: a nested shell, for example. */
      readonly within?: Command;
    })
  /** The lab has entered a run's command. The shell has not said that the command began, so a prompt now is a redrawn one. */
  | (Live & { readonly at: 'entered'; readonly runId: string; readonly within?: Command })
  | (Live & { readonly at: 'running'; readonly command: Command })
  /** A command ended, and the next prompt has not come. */
  | (Live & { readonly at: 'ended' });

export const gone: ShellState = { at: 'gone' };
/** A shell was just attached. */
export const attached: ShellState = { at: 'unknown', typedAtMs: 0 };

/** Whether the shell waits at its prompt. */
export const isIdle = (state: ShellState): boolean => state.at === 'prompt';

/** When something was typed last, in Unix milliseconds. 0 before that. */
export const typedAtMs = (state: ShellState): number => (state.at === 'gone' ? 0 : state.typedAtMs);

/** Somebody typed, or the lab did. */
export function afterTyping(state: ShellState, atMs: number): ShellState {
  switch (state.at) {
    case 'gone':
      return state;
    case 'prompt':
      return { ...state, line: 'typed', typedAtMs: atMs };
    case 'unknown':
    case 'entered':
    case 'running':
    case 'ended':
      return { ...state, typedAtMs: atMs };
  }
}

/** The lab entered the command of a run. */
export function afterEntering(state: ShellState, runId: string): ShellState {
  switch (state.at) {
    case 'gone':
      return state;
    case 'prompt':
    case 'entered':
      return { at: 'entered', runId, ...within(state.within), typedAtMs: state.typedAtMs };
    case 'running':
      return { at: 'entered', runId, within: state.command, typedAtMs: state.typedAtMs };
    case 'unknown':
    case 'ended':
      return { at: 'entered', runId, typedAtMs: state.typedAtMs };
  }
}

/** The prompt is complete. */
export function afterPrompt(state: ShellState): ShellState {
  switch (state.at) {
    case 'gone':
    case 'entered':
      return state;
    case 'prompt':
      return state.isLineOver ? { ...state, line: 'clean', isLineOver: false } : state;
    case 'ended':
      return { at: 'prompt', line: 'clean', isLineOver: false, typedAtMs: state.typedAtMs };
    case 'unknown':
      return { at: 'prompt', line: 'typed', isLineOver: false, typedAtMs: state.typedAtMs };
    case 'running':
      return {
        at: 'prompt',
        line: 'typed',
        isLineOver: false,
        within: state.command,
        typedAtMs: state.typedAtMs,
      };
  }
}

/** A command's output begins. The command is that of the run that was entered, if one was. */
export function afterStart(state: ShellState, command: number, atMs: number): ShellState {
  switch (state.at) {
    case 'gone':
      return state;
    case 'entered': {
      const { runId } = state;
      return { at: 'running', command: { command, runId, atMs }, typedAtMs: state.typedAtMs };
    }
    case 'unknown':
    case 'prompt':
    case 'running':
    case 'ended':
      return { at: 'running', command: { command, atMs }, typedAtMs: state.typedAtMs };
  }
}

/**
 * A command ended, or an empty line, which was no command.
 * @returns `ended`: the command that it was, if the shell had begun one
 */
export function afterEnd(state: ShellState): { state: ShellState; ended?: Command } {
  switch (state.at) {
    case 'gone':
    case 'ended':
      return { state };
    case 'unknown':
      return { state: { at: 'ended', typedAtMs: state.typedAtMs } };
    case 'prompt': {
      const { line, typedAtMs } = state;
      return { state: { at: 'prompt', line, isLineOver: true, typedAtMs }, ...ended(state.within) };
    }
    case 'entered':
      return { state: { at: 'ended', typedAtMs: state.typedAtMs }, ...ended(state.within) };
    case 'running':
      return { state: { at: 'ended', typedAtMs: state.typedAtMs }, ended: state.command };
  }
}

/** Runs whose shell has not said how they ended. Nobody will know when the shell is gone. */
export function openRuns(state: ShellState): string[] {
  switch (state.at) {
    case 'gone':
    case 'unknown':
    case 'ended':
      return [];
    case 'prompt':
      return runOf(state.within);
    case 'entered':
      return [...runOf(state.within), state.runId];
    case 'running':
      return runOf(state.command);
  }
}

const within = (command: Command | undefined) => (command ? { within: command } : {});
const ended = (command: Command | undefined) => (command ? { ended: command } : {});
const runOf = (command: Command | undefined) => (command?.runId === undefined ? [] : [command.runId]);
