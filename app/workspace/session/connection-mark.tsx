'use client';

import { useSyncExternalStore, type ReactElement } from 'react';
import { useNow } from '../../ui/use-now';
import { useSessionState } from './context';
import './connection-mark.css';

/** Whether this computer says that it has a network. */
function useOnline(): boolean {
  return useSyncExternalStore(
    (changed) => {
      window.addEventListener('online', changed);
      window.addEventListener('offline', changed);
      return () => {
        window.removeEventListener('online', changed);
        window.removeEventListener('offline', changed);
      };
    },
    () => navigator.onLine,
    () => true,
  );
}

function Seconds({ sinceMs }: { sinceMs: number }): ReactElement {
  const nowMs = useNow(1_000);
  return <span aria-hidden="true"> {Math.max(0, Math.floor((nowMs - sinceMs) / 1_000))} s</span>;
}

/** The state of the line: a word or two, in a place of a fixed width, so that nothing moves when it changes. */
export function ConnectionMark(): ReactElement | null {
  const connection = useSessionState((state) => state.connection);
  const silentSinceMs = useSessionState((state) => state.silentSinceMs);
  const active = useSessionState(
    (state) => (state.session !== null || state.role === 'viewer') && state.phase !== 'ended',
  );
  const online = useOnline();
  if (!active) return null;
  let words = { open: 'Connected', connecting: online ? 'Reconnecting' : 'Offline', closed: 'Not connected' }[
    connection
  ];
  let state: string = connection;
  if (connection === 'open' && silentSinceMs !== null) {
    words = 'Not answering';
    state = 'silent';
  }
  return (
    <span className="bar-item connection" data-state={state} role="status" title={words}>
      <span className="connection-mark" aria-hidden="true" />
      <span className="connection-words">
        {words}
        {state === 'silent' && silentSinceMs !== null && <Seconds sinceMs={silentSinceMs} />}
      </span>
    </span>
  );
}
