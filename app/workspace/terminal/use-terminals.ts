'use client';

import { useEffect, useRef, useState } from 'react';
import type { HostName as Host } from '../../../server/protocol/hosts';
import { usePreference } from '../../ui/preferences';
import { useLabSession, useSessionState } from '../session/context';
import { brokenSinceMs, hasPair, terminalsOf } from '../session/selectors';
import { TerminalSet } from './terminal-set';

/** Keys that a terminal refused. */
export interface RefusedKeys {
  count: number;
  why: 'offline' | 'watching';
  /** The beginning of the break in which that happened. */
  brokenSinceMs: number | null;
}

const none: RefusedKeys = { count: 0, why: 'offline', brokenSinceMs: null };

/** The terminals, created when the pair is first ready and kept as long as the page, and the keys that they refused. */
export function useTerminals(): { terminals: TerminalSet | null; refused: Record<Host, RefusedKeys> } {
  const session = useLabSession();
  const ready = useSessionState(hasPair);
  const starting = useSessionState((state) => state.phase !== 'loading' && state.phase !== 'none');
  const infos = useSessionState(terminalsOf);
  const [terminals, setTerminals] = useState<TerminalSet | null>(null);
  const [refused, setRefused] = useState({ source: none, destination: none });
  const [screenReaderMode] = usePreference('screenReaderMode');
  const [fontSizePx] = usePreference('fontSizePx');
  const firstFontSize = useRef(fontSizePx);
  const made = useRef<Promise<TerminalSet> | null>(null);

  useEffect(() => {
    // Loaded while the hosts start, so it costs no time later.
    if (starting) void import('./terminal').then(({ HostTerminal }) => HostTerminal.loadFonts());
  }, [starting]);

  useEffect(() => {
    if (!ready || made.current !== null) return;
    const create = async (): Promise<TerminalSet> => {
      const { HostTerminal } = await import('./terminal');
      await HostTerminal.loadFonts();
      const handlers = (id: string) => ({
        onFocus: () => {
          session.showTerminal(id);
        },
        onRefused: (why: 'offline' | 'watching' | 'too-much') => {
          if (why === 'too-much') {
            session.noteUndelivered(id, { kind: 'too-much' });
            return;
          }
          const state = session.getState();
          const host = terminalsOf(state).find((one) => one.id === id)?.host;
          if (host === undefined) return;
          setRefused((before) => ({
            ...before,
            [host]: { count: before[host].count + 1, why, brokenSinceMs: brokenSinceMs(state) },
          }));
        },
      });
      return new TerminalSet(HostTerminal, session.connection, handlers, firstFontSize.current);
    };
    made.current = create();
    void made.current.then(setTerminals);
  }, [ready, session]);

  useEffect(() => {
    terminals?.setScreenReaderMode(screenReaderMode);
  }, [terminals, screenReaderMode]);
  useEffect(() => {
    terminals?.setFontSize(fontSizePx);
  }, [terminals, fontSizePx]);
  useEffect(() => {
    // While a session starts over, its terminals are unknown. The first ones get the same ids.
    if (infos.length > 0) terminals?.keepOnly(infos.map(({ id }) => id));
  }, [terminals, infos]);

  useEffect(
    () => () => {
      void made.current?.then((all) => {
        all.dispose();
      });
      made.current = null;
    },
    [],
  );
  return { terminals, refused };
}
