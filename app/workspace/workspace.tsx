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
import { panelStorage, usePreference } from '../ui/preferences';
import { Problem } from '../ui/problem';
import { BusyDialog } from './steps/busy-dialog';
import { SessionContext, useLabSession, useSessionState } from './session/context';
import { HostPane, type Refusals } from './panes/host-pane';
import { NoticeStrip } from './session/notice-strip';
import { paneNames, type PaneName } from './panes/panes';
import { hasPair, LabSession } from './session/session';
import { SessionPanel } from './session/session-panel';
import { shortcutOf } from './panes/shortcuts';
import { StepRail } from './steps/step-rail';
import { TerminalSet } from './terminal/terminal-set';
import { TopBar } from './top-bar';
import './panes/splitter.css';
import './prose.css';
import './workspace.css';

/** Below this there is no room for a column of prose beside 80 columns of terminal; the stylesheets have the same number. */
const narrowQuery = '(max-width: 859px)';

/** Undefined on the server and for the first paint: neither the window's width nor the remembered layout is known yet. */
export function useLayout(): 'columns' | 'tabs' | undefined {
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

const noRefusals: Refusals = { count: 0, why: 'offline', brokenSinceMs: null };

/** The terminals, made when the pair is first ready and kept for as long as the page; and what was typed in vain. */
export function useTerminals(): { terminals: TerminalSet | null; refusals: Record<Host, Refusals> } {
  const session = useLabSession();
  const ready = useSessionState(hasPair);
  const starting = useSessionState((state) => state.phase !== 'loading' && state.phase !== 'none');
  const infos = useSessionState((state) => state.terminals);
  const [terminals, setTerminals] = useState<TerminalSet | null>(null);
  const [refusals, setRefusals] = useState({ source: noRefusals, destination: noRefusals });
  const [screenReaderMode] = usePreference('screenReaderMode');
  const [fontSizePx] = usePreference('fontSizePx');
  const firstFontSize = useRef(fontSizePx);
  const made = useRef<Promise<TerminalSet> | null>(null);

  useEffect(() => {
    // Loaded while the hosts start, so that it costs no time when they are there.
    if (starting) void import('./terminal/terminal').then(({ HostTerminal }) => HostTerminal.loadFonts());
  }, [starting]);

  useEffect(() => {
    if (!ready || made.current !== null) return;
    const create = async (): Promise<TerminalSet> => {
      const { HostTerminal } = await import('./terminal/terminal');
      await HostTerminal.loadFonts();
      const handlers = (id: string) => ({
        onFocus: () => {
          session.showTerminal(id);
        },
        onRefused: (why: 'offline' | 'watching' | 'too-much') => {
          if (why === 'too-much') {
            session.setTrouble(id, { kind: 'too-much' });
            return;
          }
          const { terminals: known, brokenSinceMs } = session.getState();
          const host = known.find((one) => one.id === id)?.host;
          if (host === undefined) return;
          setRefusals((before) => ({
            ...before,
            [host]: { count: before[host].count + 1, why, brokenSinceMs },
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
    // While a session begins anew, nothing is known of its terminals; the first ones have the same names.
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
  return { terminals, refusals };
}

/** Moves the focus from pane to pane with one key, out of the terminals as well. */
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
        if (session.getState().terminals.length > 0) terminals?.get(session.activeTerminal(next)).focus();
        return;
      }
      const last = lastInLesson.current;
      const lesson = document.querySelector<HTMLElement>('[data-pane="lesson"]');
      // What is out of sight, such as a lesson below a host that fills the page, comes into it first.
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

/** When what had the focus has gone (a dialog's menu, a button that did its work), the lesson has it, and not the page's very start. */
function useKeptFocus(): void {
  const phase = useSessionState((state) => state.phase);
  const deadline = useSessionState((state) => state.deadline);
  const extending = useSessionState((state) => state.extending);
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
  const place = useSessionState((state) => state.queue?.position);
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

/** Both hosts, one above the other or side by side. */
export function Hosts({ pane }: { pane: (host: Host) => ReactElement }): ReactElement {
  const direction = useSessionState((state) => state.layout.hosts);
  const id = direction === 'stacked' ? 'lesson-rows' : 'lesson-hosts';
  const sizes = useDefaultLayout({ id, storage: panelStorage, onlySaveAfterUserInteractions: true });
  const beside = direction === 'beside';
  return (
    <Group key={id} id={id} orientation={beside ? 'horizontal' : 'vertical'} {...sizes}>
      <Panel id="source" minSize={beside ? '240px' : '110px'}>
        {pane('source')}
      </Panel>
      <Separator
        className="splitter"
        aria-label={`${beside ? 'Width' : 'Height'} of source and destination`}
      />
      <Panel id="destination" minSize={beside ? '240px' : '110px'}>
        {pane('destination')}
      </Panel>
    </Group>
  );
}

/** Prose on the left, the hosts on the right; all sizes remembered. */
function Columns(props: {
  lesson: ReactElement;
  pane: (host: Host) => ReactElement;
  zoomed: Host | null;
}): ReactElement {
  const columns = useDefaultLayout({
    id: 'lesson-columns',
    storage: panelStorage,
    onlySaveAfterUserInteractions: true,
  });
  return (
    <Group id="lesson-columns" className="columns" {...columns}>
      <Panel id="prose" defaultSize="45%" minSize="340px">
        <div className="column" inert={props.zoomed !== null}>
          {props.lesson}
        </div>
      </Panel>
      <Separator className="splitter" aria-label="Width of lesson and terminals" />
      <Panel id="hosts" minSize="360px" className="hosts">
        <Hosts pane={props.pane} />
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
  const [zoomed, setZoomed] = useState<Host | null>(null);
  const { terminals, refusals } = useTerminals();
  const show = useCallback((pane: PaneName) => {
    setShown(pane);
    setZoomed((before) => (before === null || pane === 'lesson' ? null : pane));
  }, []);
  usePaneKey(terminals, show);
  useKeptFocus();
  usePageTitle();
  const fills = layout === 'columns' && hasPair({ phase }) ? zoomed : null;

  const pane = (host: Host): ReactElement => (
    <div className="host-place" data-zoomed={fills === host} inert={fills !== null && fills !== host}>
      <HostPane
        host={host}
        terminals={terminals}
        refusals={refusals[host]}
        zoomed={layout === 'columns' ? fills === host : undefined}
        setZoomed={(on) => {
          setZoomed(on ? host : null);
        }}
      />
    </div>
  );

  return (
    <div
      className="workspace"
      data-phase={phase}
      data-connection={connection}
      data-shown={shown}
      data-zoomed={fills !== null}
    >
      <a className="skip-link" href="#content">
        Skip to the lesson
      </a>
      <TopBar canArrange={layout === 'columns'} />
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
      {layout === 'columns' && <Columns lesson={<Prose>{children}</Prose>} pane={pane} zoomed={fills} />}
      <BusyDialog />
      <Toast />
      <p className="visually-hidden" aria-live="polite">
        {announcement}
      </p>
    </div>
  );
}

/** A page that is looked at again so soon goes on without having to catch up. */
const restAfterMs = 20_000;

/** Wakes the session's line when the network comes back or the page is looked at again; ends it with the page. */
export function usePageLife(session: LabSession, begin: () => void): void {
  const first = useRef(begin);
  useEffect(() => {
    first.current();
    let resting: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      clearTimeout(resting);
      if (document.visibilityState === 'visible') session.wake();
      else
        resting = setTimeout(() => {
          session.rest();
        }, restAfterMs);
    };
    window.addEventListener('online', look);
    document.addEventListener('visibilitychange', look);
    return () => {
      clearTimeout(resting);
      window.removeEventListener('online', look);
      document.removeEventListener('visibilitychange', look);
      session.close();
    };
  }, [session]);
}

/** The lesson page: prose, two hosts, and the session that joins them. */
export function Workspace({ lesson, children }: { lesson: Lesson; children: ReactNode }): ReactElement {
  const [session] = useState(() => new LabSession(lesson));
  usePageLife(session, () => void session.load());
  return (
    <SessionContext value={session}>
      <Layout>{children}</Layout>
    </SessionContext>
  );
}
