'use client';

import {
  useCallback,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
  type ReactElement,
  type ReactNode,
} from 'react';
import { Group, Panel, Separator, useDefaultLayout } from 'react-resizable-panels';
import type { Lesson } from '../../server/lessons/lesson';
import { hostNames, type HostName as Host } from '../../server/protocol/hosts';
import { HostName } from '../ui/host';
import { Problem } from '../ui/problem';
import { usePreference } from '../ui/preferences';
import { SessionContext, useLabSession, useSessionState } from './context';
import { HostPane } from './host-pane';
import { NoticeStrip } from './notice-strip';
import { hasPair, LabSession } from './session';
import { SessionPanel } from './session-panel';
import { StepRail } from './step-rail';
import { paneKey, paneNames, type PaneName } from './panes';
import type { HostTerminal } from './terminal';
import { TopBar } from './top-bar';

declare global {
  interface Window {
    /** For tests and debugging: the xterm terminals of this page, once they are open. */
    labTerminals?: Record<Host, HostTerminal['terminal']>;
  }
}

type Terminals = Record<Host, HostTerminal>;

/** Below this there is no room for a column of prose beside 80 columns of terminal; the stylesheets have the same number. */
const narrowQuery = '(max-width: 859px)';

/** Undefined on the server and for the first paint: neither the window's width nor the remembered layout is known yet. */
function useLayout(): 'columns' | 'tabs' | undefined {
  return useSyncExternalStore(
    (changed) => {
      const query = window.matchMedia(narrowQuery);
      query.addEventListener('change', changed);
      return () => {
        query.removeEventListener('change', changed);
      };
    },
    () => (window.matchMedia(narrowQuery).matches ? 'tabs' : 'columns'),
    () => undefined,
  );
}

/** The terminals, made when the pair is first ready and kept for as long as the page. */
function useTerminals(onRefused: (host: Host) => void): Terminals | null {
  const session = useLabSession();
  const ready = useSessionState(hasPair);
  const starting = useSessionState((state) => state.session !== null);
  const [terminals, setTerminals] = useState<Terminals | null>(null);
  const [screenReaderMode] = usePreference('screenReaderMode');
  const made = useRef<Promise<Terminals> | null>(null);

  useEffect(() => {
    // Loaded while the hosts start, so that it costs no time when they are there.
    if (starting) void import('./terminal');
  }, [starting]);

  useEffect(() => {
    if (!ready || made.current !== null) return;
    made.current = import('./terminal').then(async ({ HostTerminal: Made }) => {
      const create = (host: Host): Promise<HostTerminal> =>
        Made.create(host, session.connection, () => {
          onRefused(host);
        });
      const [source, destination] = await Promise.all([create('source'), create('destination')]);
      window.labTerminals = { source: source.terminal, destination: destination.terminal };
      setTerminals({ source, destination });
      return { source, destination };
    });
  }, [ready, session, onRefused]);

  useEffect(() => {
    if (terminals === null) return;
    for (const host of hostNames) terminals[host].setScreenReaderMode(screenReaderMode);
  }, [terminals, screenReaderMode]);

  useEffect(
    () => () => {
      void made.current?.then((all) => {
        for (const host of hostNames) all[host].dispose();
      });
      made.current = null;
      delete window.labTerminals;
    },
    [],
  );
  return terminals;
}

/** Moves the focus from pane to pane with one key, out of the terminals as well. */
function usePaneKey(terminals: Terminals | null, show: (pane: PaneName) => void): void {
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
      if (event.key !== paneKey || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const step = event.shiftKey ? paneNames.length - 1 : 1;
      const next = paneNames[(paneNames.indexOf(paneOf(document.activeElement)) + step) % paneNames.length];
      if (next === undefined) return;
      show(next);
      if (next !== 'lesson') {
        if (terminals !== null) terminals[next].focus();
        return;
      }
      const last = lastInLesson.current;
      const lesson = document.querySelector<HTMLElement>('[data-pane="lesson"]');
      (last?.isConnected ? last : lesson)?.focus();
    };
    document.addEventListener('focusin', onFocus);
    document.addEventListener('keydown', onKey);
    return () => {
      document.removeEventListener('focusin', onFocus);
      document.removeEventListener('keydown', onKey);
    };
  }, [terminals, show]);
}

function Prose({ children }: { children: ReactNode }): ReactElement {
  const { lesson } = useLabSession();
  return (
    <div className="prose-pane" data-pane="lesson" tabIndex={-1}>
      <StepRail />
      <main className="prose" id="content">
        <header className="lesson-head">
          <h1>{lesson.title}</h1>
          <p className="lesson-summary">{lesson.summary}</p>
          <p className="lesson-facts">
            {lesson.steps.length} steps, about {lesson.minutes} minutes
          </p>
        </header>
        {children}
      </main>
    </div>
  );
}

/** A failure that no panel shows, over everything else. */
function Toast(): ReactElement | null {
  const session = useLabSession();
  const problem = useSessionState((state) => state.problem);
  const elsewhere = useSessionState(({ phase }) => ['none', 'queued', 'ended'].includes(phase));
  if (problem === null || elsewhere) return null;
  return (
    <div className="toast">
      <Problem error={problem} />
      <button
        type="button"
        className="button button-quiet"
        onClick={() => {
          session.dismissProblem();
        }}
      >
        Dismiss
      </button>
    </div>
  );
}

/** The tab's title tells whoever waits in another tab. */
function usePageTitle(): void {
  const session = useLabSession();
  const place = useSessionState((state) => state.queue?.place);
  const called = useSessionState((state) => state.called);
  const news = called ? 'Your turn' : place === undefined ? null : `Number ${place} in the queue`;
  useEffect(() => {
    if (news === null) return;
    const own = document.title;
    document.title = `${news} · ${own}`;
    return () => {
      document.title = own;
    };
  }, [news]);
  useEffect(() => {
    if (!called) return;
    const look = (): void => {
      if (document.visibilityState === 'visible') session.seen();
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => {
      document.removeEventListener('visibilitychange', look);
    };
  }, [called, session]);
}

function PaneTabs(props: { shown: PaneName; show: (pane: PaneName) => void }): ReactElement {
  return (
    <nav className="pane-tabs" aria-label="Lesson and hosts">
      {paneNames.map((name) => (
        <button
          key={name}
          type="button"
          aria-pressed={props.shown === name}
          onClick={() => {
            props.show(name);
          }}
        >
          {name === 'lesson' ? 'Lesson' : <HostName host={name} />}
        </button>
      ))}
    </nav>
  );
}

/** Prose on the left, the source above the destination on the right; all sizes remembered. */
function Columns(props: { lesson: ReactElement; pane: (host: Host) => ReactElement }): ReactElement {
  const columns = useDefaultLayout({ id: 'lesson-columns', onlySaveAfterUserInteractions: true });
  const rows = useDefaultLayout({ id: 'lesson-rows', onlySaveAfterUserInteractions: true });
  return (
    <Group id="lesson-columns" className="columns" {...columns}>
      <Panel id="prose" defaultSize="45%" minSize="340px">
        {props.lesson}
      </Panel>
      <Separator className="splitter" aria-label="Width of lesson and terminals" />
      <Panel id="hosts" minSize="360px" className="hosts">
        <Group id="lesson-rows" orientation="vertical" {...rows}>
          <Panel id="source" minSize="110px">
            {props.pane('source')}
          </Panel>
          <Separator className="splitter" aria-label="Height of source and destination" />
          <Panel id="destination" minSize="110px">
            {props.pane('destination')}
          </Panel>
        </Group>
        <SessionPanel />
      </Panel>
    </Group>
  );
}

function Layout({ children }: { children: ReactNode }): ReactElement {
  const layout = useLayout();
  const phase = useSessionState((state) => state.phase);
  const connection = useSessionState((state) => state.connection);
  const announcement = useSessionState((state) => state.announcement);
  const [shown, setShown] = useState<PaneName>('lesson');
  const [refusals, setRefusals] = useState<Record<Host, number>>({ source: 0, destination: 0 });
  const onRefused = useCallback((host: Host) => {
    setRefusals((before) => ({ ...before, [host]: before[host] + 1 }));
  }, []);
  const terminals = useTerminals(onRefused);
  usePaneKey(terminals, setShown);
  usePageTitle();

  const pane = (host: Host): ReactElement => (
    <HostPane
      host={host}
      terminal={terminals?.[host]}
      refusals={connection === 'open' ? 0 : refusals[host]}
    />
  );

  return (
    <div className="workspace" data-phase={phase} data-connection={connection} data-shown={shown}>
      <a className="skip-link" href="#content">
        Skip to the lesson
      </a>
      <TopBar />
      <NoticeStrip />
      {layout === undefined && (
        <div className="first-paint">
          <Prose>{children}</Prose>
        </div>
      )}
      {layout === 'tabs' && (
        <>
          <Prose>{children}</Prose>
          <div className="host-sheet">
            {hostNames.map((host) => (
              <div key={host} className="host-sheet-pane" data-shown={shown === host}>
                {pane(host)}
              </div>
            ))}
            <SessionPanel />
          </div>
          <PaneTabs shown={shown} show={setShown} />
        </>
      )}
      {layout === 'columns' && <Columns lesson={<Prose>{children}</Prose>} pane={pane} />}
      <Toast />
      <p className="visually-hidden" aria-live="polite">
        {announcement}
      </p>
    </div>
  );
}

/** The lesson page: prose, two hosts, and the session that joins them. */
export function Workspace({ lesson, children }: { lesson: Lesson; children: ReactNode }): ReactElement {
  const [session] = useState(() => new LabSession(lesson));
  useEffect(() => {
    void session.load();
    const wake = (): void => {
      session.wake();
    };
    window.addEventListener('online', wake);
    document.addEventListener('visibilitychange', wake);
    return () => {
      window.removeEventListener('online', wake);
      document.removeEventListener('visibilitychange', wake);
      session.close();
    };
  }, [session]);
  return (
    <SessionContext value={session}>
      <Layout>{children}</Layout>
    </SessionContext>
  );
}
