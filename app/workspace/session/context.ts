'use client';

import { createContext, useContext, useSyncExternalStore } from 'react';
import type { LabSession, SessionState } from './session';

export const SessionContext = createContext<LabSession | null>(null);

export function useLabSession(): LabSession {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('A part of the lesson page stands outside of its workspace.');
  return session;
}

/** @param select must return the same value for the same state: a field, or a primitive made from it */
export function useSessionState<T>(select: (state: SessionState) => T): T {
  const session = useLabSession();
  return useSyncExternalStore(
    session.subscribe,
    () => select(session.getState()),
    () => select(session.getInitialState()),
  );
}
