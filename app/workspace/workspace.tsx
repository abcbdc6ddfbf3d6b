'use client';

import { useCallback, useState, type ReactElement, type ReactNode } from 'react';
import { Group, Panel, Separator, useDefaultLayout } from 'react-resizable-panels';
import type { Lesson } from '../../server/lessons/lesson';
import { hostNames, type HostName as Host } from '../../server/protocol/hosts';
import { HostName } from '../ui/host';
import { panelStorage } from '../ui/preferences';
import { Problem } from '../ui/problem';
import { HostPane } from './panes/host-pane';
import { Hosts } from './panes/hosts';
import { paneNames, type PaneName } from './panes/panes';
import { useKeptFocus } from './panes/use-kept-focus';
import { usePageLayout } from './panes/use-page-layout';
import { usePaneKey } from './panes/use-pane-key';
import { SessionContext, useLabSession, useSessionState } from './session/context';
import { NoticeStrip } from './session/notice-strip';
import { connectionOf, hasPair, shownPhase } from './session/selectors';
import { LabSession } from './session/session';
import { SessionPanel } from './session/session-panel';
import { usePageLife } from './session/use-page-life';
import { usePageTitle } from './session/use-page-title';
import { BusyDialog } from './steps/busy-dialog';
import { StepRail } from './steps/step-rail';
import { useTerminals } from './terminal/use-terminals';
import { TopBar } from './top-bar';
import './panes/splitter.css';
import './prose.css';
import './workspace.css';

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

/** Shows a failure that no panel shows. */
function Toast(): ReactElement | null {
  const session = useLabSession();
  const problem = useSessionState((state) => state.problem);
  const isInPanel = useSessionState(({ phase }) => ['none', 'queued', 'ended'].includes(phase));
  if (problem === null || isInPanel) return null;
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

/** Prose on the left, the hosts on the right; the browser stores all sizes. */
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

function Page({ children }: { children: ReactNode }): ReactElement {
  const layout = usePageLayout();
  const phase = useSessionState(shownPhase);
  const connection = useSessionState(connectionOf);
  const announcement = useSessionState((state) => state.announcement);
  const canZoom = useSessionState(hasPair);
  const [shown, setShown] = useState<PaneName>('lesson');
  const [zoomed, setZoomed] = useState<Host | null>(null);
  const { terminals, refused } = useTerminals();
  const show = useCallback((pane: PaneName) => {
    setShown(pane);
    setZoomed((before) => (before === null || pane === 'lesson' ? null : pane));
  }, []);
  usePaneKey(terminals, show);
  useKeptFocus();
  usePageTitle();
  const fills = layout === 'columns' && canZoom ? zoomed : null;

  const pane = (host: Host): ReactElement => (
    <div className="host-place" data-zoomed={fills === host} inert={fills !== null && fills !== host}>
      <HostPane
        host={host}
        terminals={terminals}
        refused={refused[host]}
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

/** The lesson page: prose, two hosts, and the session that joins them. */
export function Workspace({ lesson, children }: { lesson: Lesson; children: ReactNode }): ReactElement {
  const [session] = useState(() => new LabSession(lesson));
  usePageLife(session, () => void session.load());
  return (
    <SessionContext value={session}>
      <Page>{children}</Page>
    </SessionContext>
  );
}
