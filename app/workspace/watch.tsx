'use client';

import { useCallback, useState, type ReactElement } from 'react';
import type { Lesson } from '../../server/lessons/lesson';
import { hostNames, type HostName as Host } from '../../server/protocol/hosts';
import { HostName } from '../ui/host';
import { Problem } from '../ui/problem';
import { Wordmark } from '../ui/wordmark';
import { HostPane } from './panes/host-pane';
import { Hosts } from './panes/hosts';
import type { PaneName } from './panes/panes';
import { ShortcutList } from './panes/shortcut-list';
import { usePageLayout } from './panes/use-page-layout';
import { usePaneKey } from './panes/use-pane-key';
import { BrowserGateway } from './session/browser-gateway';
import { ConnectionMark } from './session/connection-mark';
import { SessionContext, useSessionState } from './session/context';
import { connectionOf, hasPair, shownPhase } from './session/selectors';
import { LabSession } from './session/session';
import { usePageLife } from './session/use-page-life';
import { Settings } from './settings';
import { useTerminals } from './terminal/use-terminals';
import './session/session-panel.css';
import './top-bar.css';
import './workspace.css';
import './watch.css';

/** A viewer sees no lesson. */
const noLesson: Lesson = {
  id: '',
  title: '',
  summary: '',
  minutes: 0,
  part: 1,
  order: 0,
  outcomes: [],
  'builds-on': [],
  sources: [],
  slides: {},
  cpus: {},
  steps: [],
  values: [],
  setups: [],
  files: [],
};

/** Says why the page shows no terminals; nothing while it shows them. */
function WatchVeil(): ReactElement | null {
  const isOver = useSessionState(({ phase }) => phase === 'ended' || phase === 'failed');
  const isShown = useSessionState(hasPair);
  const problem = useSessionState((state) => state.problem);
  if (isShown) return null;
  return (
    <div className="session-veil">
      <section className="session-panel">
        {isOver ? (
          <>
            <h2>The view has ended</h2>
            <p>The session has ended, or its owner has revoked the link.</p>
          </>
        ) : (
          <h2>{problem === null ? 'Connecting to the terminals…' : 'The terminals are not available'}</h2>
        )}
        {problem !== null && <Problem error={problem} />}
      </section>
    </div>
  );
}

function WatchLayout(): ReactElement {
  const layout = usePageLayout();
  const phase = useSessionState(shownPhase);
  const connection = useSessionState(connectionOf);
  const announcement = useSessionState((state) => state.announcement);
  const [shown, setShown] = useState<Host>('source');
  const { terminals, refused } = useTerminals();
  const show = useCallback((name: PaneName) => {
    if (name !== 'lesson') setShown(name);
  }, []);
  usePaneKey(terminals, show);
  const pane = (host: Host): ReactElement => (
    <HostPane
      host={host}
      terminals={terminals}
      refused={refused[host]}
      zoomed={undefined}
      setZoomed={() => undefined}
    />
  );
  return (
    <div className="workspace watch" data-phase={phase} data-connection={connection} data-shown={shown}>
      <header className="top-bar">
        <Wordmark />
        <span className="bar-title">
          <b>You are watching.</b> <span className="wide-only">You cannot type in the terminals.</span>
        </span>
        <span className="bar-space" />
        <ConnectionMark />
        <ShortcutList />
        <Settings />
      </header>
      {layout === 'columns' && (
        <main className="columns hosts">
          <Hosts pane={pane} />
          <WatchVeil />
        </main>
      )}
      {layout === 'tabs' && (
        <>
          <main className="host-sheet">
            {hostNames.map((host) => (
              <div key={host} className="host-sheet-pane" data-shown={shown === host}>
                {pane(host)}
              </div>
            ))}
            <WatchVeil />
          </main>
          <nav className="pane-tabs" aria-label="Hosts">
            {hostNames.map((host) => (
              <button
                key={host}
                type="button"
                aria-pressed={shown === host}
                onClick={() => {
                  setShown(host);
                }}
              >
                <HostName host={host} />
              </button>
            ))}
          </nav>
        </>
      )}
      <p className="visually-hidden" aria-live="polite">
        {announcement}
      </p>
    </div>
  );
}

/** The page of a viewer: somebody else's terminals. */
export function Watch({ grant }: { grant: string }): ReactElement | null {
  const [session] = useState(
    () =>
      new LabSession(noLesson, new BrowserGateway(grant), () => () => undefined, {
        load: () => undefined,
        save: () => undefined,
      }),
  );
  usePageLife(session, () => {
    session.watch();
  });
  return (
    <SessionContext value={session}>
      <WatchLayout />
    </SessionContext>
  );
}
