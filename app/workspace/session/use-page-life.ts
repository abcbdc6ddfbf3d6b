'use client';

import { useEffect, useRef } from 'react';
import type { LabSession } from './session';

/** A page that was hidden for less than this, in milliseconds, need not catch up. */
const pauseAfterMs = 20_000;

/** Starts the session with the page, pauses it while the page is hidden, and closes it with the page. */
export function usePageLife(session: LabSession, begin: () => void): void {
  const first = useRef(begin);
  useEffect(() => {
    first.current();
    let pausing: ReturnType<typeof setTimeout> | undefined;
    const onChange = (): void => {
      clearTimeout(pausing);
      if (document.visibilityState === 'visible') session.resume();
      else
        pausing = setTimeout(() => {
          session.pause();
        }, pauseAfterMs);
    };
    window.addEventListener('online', onChange);
    document.addEventListener('visibilitychange', onChange);
    return () => {
      clearTimeout(pausing);
      window.removeEventListener('online', onChange);
      document.removeEventListener('visibilitychange', onChange);
      session.close();
    };
  }, [session]);
}
