'use client';

import { createContext, useContext, useSyncExternalStore } from 'react';
import type { LabSession } from './session';
import type { SessionState } from './session-state';

export const SessionContext = createContext<LabSession | null>(null);

export function useLabSession(): LabSession {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('This component needs a SessionContext around it.');
  return session;
}

/** @param select must return the same value for the same state, like the selectors of selectors.ts */
export function useSessionState<T>(select: (state: SessionState) => T): T {
  const session = useLabSession();
  return useSyncExternalStore(
    session.subscribe,
    () => select(session.getState()),
    () => select(session.getInitialState()),
  );
}
