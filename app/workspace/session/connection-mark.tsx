'use client';

import { useSyncExternalStore, type ReactElement } from 'react';
import { useNow } from '../../ui/use-now';
import { useSessionState } from './context';
import { connectionOf, hasSession, silentSinceMs } from './selectors';
import './connection-mark.css';

/** Whether the browser reports a network. */
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

/** The connection's state in a word or two. The width is fixed, so nothing moves when the state changes. */
export function ConnectionMark(): ReactElement | null {
  const connection = useSessionState(connectionOf);
  const silentSince = useSessionState(silentSinceMs);
  const active = useSessionState(hasSession);
  const online = useOnline();
  if (!active) return null;
  let words = { open: 'Connected', connecting: online ? 'Reconnecting' : 'Offline', closed: 'Not connected' }[
    connection
  ];
  let state: string = connection;
  if (silentSince !== null) {
    words = 'Not answering';
    state = 'silent';
  }
  return (
    <span className="bar-item connection" data-state={state} role="status" title={words}>
      <span className="connection-mark" aria-hidden="true" />
      <span className="connection-words">
        {words}
        {silentSince !== null && <Seconds sinceMs={silentSince} />}
      </span>
    </span>
  );
}
