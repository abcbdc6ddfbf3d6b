'use client';

import { useCallback, useState, type ReactElement } from 'react';
import type { Lesson } from '../../server/lessons/lesson';
import { hostNames, type HostName as Host } from '../../server/protocol/hosts';
import { HostName } from '../ui/host';
import { Problem } from '../ui/problem';
import { Wordmark } from '../ui/wordmark';
import * as httpApi from './session/api';
import { ConnectionMark } from './session/connection-mark';
import { SessionContext, useSessionState } from './session/context';
import { HostPane } from './panes/host-pane';
import type { PaneName } from './panes/panes';
import { LabSession } from './session/session';
import { ShortcutList } from './panes/shortcut-list';
import { Settings } from './top-bar';
import { Hosts, useLayout, usePageLife, usePaneKey, useTerminals } from './workspace';
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

/** Why there is nothing to be seen, if so. */
function WatchVeil(): ReactElement | null {
  const phase = useSessionState((state) => state.phase);
  const problem = useSessionState((state) => state.problem);
  if (phase === 'ready' || phase === 'rewinding') return null;
  return (
    <div className="session-veil">
      <section className="session-panel">
        {phase === 'ended' || phase === 'failed' ? (
          <>
            <h2>There is nothing to be seen any more.</h2>
            <p>The session has ended, or whoever shared it has taken the link back.</p>
          </>
        ) : (
          <h2>{problem === null ? 'Looking for the terminals.' : 'There is nothing to be seen.'}</h2>
        )}
        {problem !== null && <Problem error={problem} />}
      </section>
    </div>
  );
}

function WatchLayout(): ReactElement {
  const layout = useLayout();
  const phase = useSessionState((state) => state.phase);
  const connection = useSessionState((state) => state.connection);
  const announcement = useSessionState((state) => state.announcement);
  const [shown, setShown] = useState<Host>('source');
  const { terminals, refusals } = useTerminals();
  const show = useCallback((name: PaneName) => {
    if (name !== 'lesson') setShown(name);
  }, []);
  usePaneKey(terminals, show);
  const pane = (host: Host): ReactElement => (
    <HostPane
      host={host}
      terminals={terminals}
      refusals={refusals[host]}
      zoomed={undefined}
      setZoomed={() => undefined}
    />
  );
  return (
    <div className="workspace watch" data-phase={phase} data-connection={connection} data-shown={shown}>
      <header className="top-bar">
        <Wordmark />
        <span className="bar-title">
          <b>You are watching.</b> <span className="wide-only">Keys and clicks change nothing.</span>
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

/** Somebody else's terminals, to be looked at. */
export function Watch({ grant }: { grant: string }): ReactElement | null {
  const [session] = useState(
    () =>
      new LabSession(
        noLesson,
        { ...httpApi, openSocket: (handlers) => httpApi.openWatchSocket(grant, handlers) },
        () => () => undefined,
        { load: () => undefined, save: () => undefined },
      ),
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
