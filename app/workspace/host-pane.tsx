'use client';

import { useEffect, useId, useRef, type ReactElement } from 'react';
import { hostAddresses, type HostName as Host } from '../../server/protocol/hosts';
import { HostName } from '../ui/host';
import { useNow } from '../ui/use-now';
import { useSessionState } from './context';
import { paneKey } from './panes';
import { hasPair } from './session';
import type { HostTerminal } from './terminal';

function useHostState(host: Host): string {
  const phase = useSessionState((state) => state.phase);
  const connection = useSessionState((state) => state.connection);
  const atPrompt = useSessionState((state) => state.atPrompt[host]);
  switch (phase) {
    case 'loading':
      return '';
    case 'none':
      return 'not started';
    case 'ended':
      return 'gone';
    case 'failed':
      return 'failed';
    case 'queued':
      return 'not started';
    case 'rewinding':
      return connection === 'open' ? 'going back' : 'reconnecting';
    case 'ready':
      if (connection !== 'open') return 'reconnecting';
      return atPrompt === undefined ? 'running' : atPrompt ? 'at its prompt' : 'busy';
    default:
      return 'starting';
  }
}

/** How long the pair has been in its present phase. */
function SecondsGone(): ReactElement {
  const sinceMs = useSessionState((state) => state.pairAtMs);
  const nowMs = useNow(250);
  return <span aria-hidden="true">, {Math.max(0, Math.floor((nowMs - sinceMs) / 1000))} s</span>;
}

/** A host: its name, address and state, and its terminal once there is one. */
export function HostPane(props: {
  host: Host;
  terminal: HostTerminal | undefined;
  /** Counts what was typed while offline and so not sent. */
  refusals: number;
}): ReactElement {
  const { host, terminal, refusals } = props;
  const screen = useRef<HTMLDivElement>(null);
  const nameId = useId();
  const hintId = useId();
  const state = useHostState(host);
  const dim = useSessionState((all) => !hasPair(all));
  const rewinding = state === 'going back';
  const offline = state === 'reconnecting';

  useEffect(() => {
    if (terminal !== undefined && screen.current !== null) terminal.mount(screen.current, nameId, hintId);
  }, [terminal, nameId, hintId]);

  return (
    <section className="host-pane" data-host={host} data-pane={host} aria-label={`Host ${host}`}>
      <header className="host-pane-head">
        <h2>
          <HostName host={host} id={nameId} />
        </h2>
        <span className="host-address">{hostAddresses[host]}</span>
        <span className="host-state" data-state={state}>
          {state}
          {rewinding && <SecondsGone />}
        </span>
        <span className="host-hint" id={hintId}>
          <kbd>{paneKey}</kbd> leaves the terminal
        </span>
      </header>
      <div className="host-screen" data-dim={offline || dim} ref={screen} />
      {offline && (
        // A new key starts the animation again, so that each refused key is seen.
        <p className="host-offline" key={refusals} data-refused={refusals > 0} role="status">
          {refusals > 0 ? 'Not sent: reconnecting' : 'Reconnecting'}
        </p>
      )}
    </section>
  );
}
