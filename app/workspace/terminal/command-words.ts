import { spellRuntime } from '../../ui/time';
import type { CommandState } from '../session/run-state';

/** A command's state for its mark and for screen readers. Apart from terminal.ts, so the page can use it without loading xterm. */
export function spellCommand(state: CommandState): { kind: 'running' | 'ok' | 'failed'; words: string } {
  if (state.state === 'running') return { kind: 'running', words: 'running' };
  const time = state.durationMs === null ? '' : `, ${spellRuntime(state.durationMs)}`;
  if (state.exitCode === null) return { kind: 'failed', words: `ended${time}` };
  return { kind: state.exitCode === 0 ? 'ok' : 'failed', words: `exit ${state.exitCode}${time}` };
}
