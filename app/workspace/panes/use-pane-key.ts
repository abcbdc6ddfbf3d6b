'use client';

import { useEffect, useRef } from 'react';
import { useLabSession } from '../session/context';
import { terminalsOf } from '../session/selectors';
import type { TerminalSet } from '../terminal/terminal-set';
import { paneNames, type PaneName } from './panes';
import { shortcutOf } from './shortcuts';

/** Moves the focus between panes with one key, also out of terminals. */
export function usePaneKey(terminals: TerminalSet | null, show: (pane: PaneName) => void): void {
  const session = useLabSession();
  const lastInLesson = useRef<HTMLElement | null>(null);
  useEffect(() => {
    const paneOf = (element: Element | null): PaneName =>
      paneNames.find((name) => name === element?.closest('[data-pane]')?.getAttribute('data-pane')) ??
      'lesson';
    const onFocus = (event: FocusEvent): void => {
      const target = event.target;
      if (target instanceof HTMLElement && target.closest('[data-pane="lesson"]'))
        lastInLesson.current = target;
    };
    const onKey = (event: KeyboardEvent): void => {
      const shortcut = shortcutOf(event);
      if (shortcut !== 'next-pane' && shortcut !== 'previous-pane') return;
      event.preventDefault();
      // A viewer has no lesson.
      const panes = paneNames.filter((name) => document.querySelector(`[data-pane="${name}"]`) !== null);
      const step = shortcut === 'previous-pane' ? panes.length - 1 : 1;
      const at = panes.indexOf(paneOf(document.activeElement));
      const next = panes[(at + step + panes.length) % panes.length];
      if (next === undefined) return;
      show(next);
      if (next !== 'lesson') {
        if (terminalsOf(session.getState()).length > 0) terminals?.get(session.activeTerminal(next)).focus();
        return;
      }
      const last = lastInLesson.current;
      const lesson = document.querySelector<HTMLElement>('[data-pane="lesson"]');
      // Wait until the page shows the pane: a maximized host may cover the lesson.
      requestAnimationFrame(() => {
        (last?.isConnected ? last : lesson)?.focus();
      });
    };
    document.addEventListener('focusin', onFocus);
    document.addEventListener('keydown', onKey);
    return () => {
      document.removeEventListener('focusin', onFocus);
      document.removeEventListener('keydown', onKey);
    };
  }, [terminals, show, session]);
}
