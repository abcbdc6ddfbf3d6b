'use client';

import type { ReactElement } from 'react';
import type { HostName as Host } from '../../../server/protocol/hosts';
import { spellRuntime } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { useSessionState } from '../session/context';
import { activeTerminalOf, isOnline, lastCommandOf, phaseSinceMs, promptsOf } from '../session/selectors';
import type { SessionState } from '../session/session-state';

/** A host's state in a word or two. */
function hostStateOf(host: Host, state: SessionState): string {
  switch (state.phase) {
    case 'loading':
      return '';
    case 'none':
    case 'queued':
      return 'not started';
    case 'requesting':
    case 'joining':
      return 'starting';
    case 'failed':
      return 'failed';
    case 'ended':
      return 'gone';
    case 'active':
      break;
  }
  const isReady = state.pair.phase === 'ready';
  if (!isReady && state.pair.phase !== 'rewinding') return 'starting';
  if (!isOnline(state)) return 'reconnecting';
  if (!isReady) return 'going back';
  const atPrompt = promptsOf(state)[activeTerminalOf(host)(state)];
  return atPrompt === undefined ? 'running' : atPrompt ? 'at its prompt' : 'busy';
}

/** Seconds since the pair's current phase began. */
function PhaseSeconds(): ReactElement {
  const sinceMs = useSessionState(phaseSinceMs);
  const nowMs = useNow(250);
  return <span aria-hidden="true">, {Math.max(0, Math.floor((nowMs - sinceMs) / 1000))} s</span>;
}

function RunningTime({ sinceMs }: { sinceMs: number }): ReactElement {
  const nowMs = useNow(1_000);
  const seconds = Math.floor((nowMs - sinceMs) / 1_000);
  // Most commands end sooner, and then the page shows their exact duration.
  if (seconds < 2) return <></>;
  return <span aria-hidden="true">, {seconds < 60 ? `${seconds} s` : spellRuntime(seconds * 1_000)}</span>;
}

/** A host's state, and the outcome of the last command in the terminal in use. */
export function HostState({ host }: { host: Host }): ReactElement {
  const state = useSessionState((now) => hostStateOf(host, now));
  const last = useSessionState(lastCommandOf(host));
  return (
    <>
      <span className="host-state" data-state={state}>
        {state}
        {state === 'going back' && <PhaseSeconds />}
        {state === 'busy' && last?.state === 'running' && last.sinceMs !== null && (
          <RunningTime sinceMs={last.sinceMs} />
        )}
      </span>
      {state === 'at its prompt' && last?.state === 'done' && (
        <span
          className="last-command"
          data-failed={last.exitCode !== 0}
          title="Exit code and duration of the last command"
        >
          {last.exitCode === null ? 'ended' : `exit ${last.exitCode}`}
          {last.durationMs !== null && (
            <span className="last-command-time">, {spellRuntime(last.durationMs)}</span>
          )}
        </span>
      )}
    </>
  );
}
