'use client';

import { useEffect, useRef } from 'react';
import { useSessionState } from '../session/context';
import { deadlineOf, isExtending, shownPhase } from '../session/selectors';

/**
 * Moves the focus to the lesson when the focused element disappears, such as a menu or a button. Otherwise the browser would move it to
 * the start of the page.
 */
export function useKeptFocus(): void {
  const phase = useSessionState(shownPhase);
  const deadline = useSessionState(deadlineOf);
  const extending = useSessionState(isExtending);
  const last = useRef<Element | null>(null);
  useEffect(() => {
    const onFocus = (event: FocusEvent): void => {
      last.current = event.target instanceof Element ? event.target : null;
    };
    document.addEventListener('focusin', onFocus);
    return () => {
      document.removeEventListener('focusin', onFocus);
    };
  }, []);
  useEffect(() => {
    const look = requestAnimationFrame(() => {
      const isGone = last.current !== null && !last.current.isConnected;
      if (isGone && document.activeElement === document.body)
        document.querySelector<HTMLElement>('[data-pane="lesson"]')?.focus({ preventScroll: true });
    });
    return () => {
      cancelAnimationFrame(look);
    };
  }, [phase, deadline, extending]);
}
