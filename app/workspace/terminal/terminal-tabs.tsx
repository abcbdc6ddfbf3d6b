'use client';

import { useRef, useState, type KeyboardEvent, type ReactElement } from 'react';
import type { HostName } from '../../../server/protocol/hosts';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { AskDialog } from '../../ui/ask-dialog';
import { Glyph } from '../../ui/glyph';
import { useLabSession, useSessionState } from '../session/context';
import { activeTerminal } from '../panes/arrangement';
import './terminal-tabs.css';

export const tabId = (id: string): string => `terminal-tab-${id}`;
export const tabPanelId = (id: string): string => `terminal-panel-${id}`;

function Rename(props: { terminal: TerminalInfo; done: () => void }): ReactElement {
  const { terminal, done } = props;
  const session = useLabSession();
  const [name, setName] = useState(terminal.name);
  const keep = (): void => {
    const trimmed = name.trim();
    if (trimmed !== '' && trimmed !== terminal.name) session.renameTerminal(terminal.id, trimmed);
    done();
  };
  return (
    <input
      className="terminal-tab-name"
      aria-label="Name of this terminal"
      value={name}
      maxLength={40}
      size={Math.max(4, name.length)}
      // The learner asked to write here.
      ref={(field) => {
        field?.focus();
      }}
      onFocus={(event) => {
        event.target.select();
      }}
      onChange={(event) => {
        setName(event.target.value);
      }}
      onBlur={keep}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === 'Enter') keep();
        else if (event.key === 'Escape') done();
      }}
    />
  );
}

/** One tab for each terminal of a host, by the tabs pattern of WAI-ARIA: arrow keys go from one to the next. */
export function TerminalTabs(props: {
  host: HostName;
  focus: (id: string) => void;
  /** The terminal that is to be closed, if nothing runs in it or else if the learner says so. */
  closing: string | null;
  setClosing: (id: string | null) => void;
}): ReactElement {
  const { host, focus, closing, setClosing } = props;
  const session = useLabSession();
  const all = useSessionState((state) => state.terminals);
  const view = useSessionState((state) => state.layout.views[host]);
  const atPrompt = useSessionState((state) => state.atPrompt);
  const isOwner = useSessionState((state) => state.role === 'owner');
  const online = useSessionState((state) => state.connection === 'open');
  const [renamed, setRenamed] = useState<string | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const terminals = all.filter((one) => one.host === host);
  const active = activeTerminal(view);
  const first = terminals[0]?.id;

  const toTab = (id: string): void => {
    session.showTerminal(id);
    list.current?.querySelector<HTMLElement>(`#${CSS.escape(tabId(id))}`)?.focus();
  };
  const close = (terminal: TerminalInfo): void => {
    const index = terminals.indexOf(terminal);
    session.closeTerminal(terminal.id);
    const next = terminals[index + 1] ?? terminals[index - 1];
    // When the dialog has given the focus back.
    if (next !== undefined)
      requestAnimationFrame(() => {
        toTab(next.id);
      });
  };
  const askToClose = (terminal: TerminalInfo): void => {
    if (!isOwner || !online || terminal.id === first) return;
    if (atPrompt[terminal.id] === true) close(terminal);
    else setClosing(terminal.id);
  };
  const doomed = terminals.find(({ id }) => id === closing);
  const onKey = (event: KeyboardEvent, terminal: TerminalInfo): void => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const index = terminals.indexOf(terminal);
    const to = {
      ArrowLeft: terminals[(index + terminals.length - 1) % terminals.length],
      ArrowRight: terminals[(index + 1) % terminals.length],
      Home: terminals[0],
      End: terminals.at(-1),
    }[event.key];
    if (to !== undefined) toTab(to.id);
    else if (event.key === 'F2' && isOwner) setRenamed(terminal.id);
    else if (event.key === 'Delete') askToClose(terminal);
    else if (event.key === 'Enter' || event.key === ' ') focus(terminal.id);
    else return;
    event.preventDefault();
  };

  return (
    <>
      <div className="terminal-tabs" role="tablist" aria-label={`Terminals on ${host}`} ref={list}>
        {terminals.map((terminal) => (
          <div
            key={terminal.id}
            className="terminal-tab"
            role="presentation"
            data-selected={terminal.id === active}
            data-shown={view.shown.includes(terminal.id)}
            data-busy={atPrompt[terminal.id] === false}
          >
            {renamed === terminal.id ? (
              <Rename
                terminal={terminal}
                done={() => {
                  setRenamed(null);
                  requestAnimationFrame(() => {
                    toTab(terminal.id);
                  });
                }}
              />
            ) : (
              <button
                type="button"
                role="tab"
                id={tabId(terminal.id)}
                className="terminal-tab-name"
                aria-selected={terminal.id === active}
                aria-controls={view.shown.includes(terminal.id) ? tabPanelId(terminal.id) : undefined}
                tabIndex={terminal.id === active ? 0 : -1}
                title={isOwner ? 'F2 or a double click renames it' : undefined}
                onClick={() => {
                  session.showTerminal(terminal.id);
                }}
                onDoubleClick={() => {
                  if (isOwner) setRenamed(terminal.id);
                }}
                onKeyDown={(event) => {
                  onKey(event, terminal);
                }}
              >
                {terminal.name}
                {atPrompt[terminal.id] === false && (
                  <span className="terminal-tab-busy">
                    <span className="visually-hidden"> (busy)</span>
                  </span>
                )}
              </button>
            )}
            {isOwner && terminal.id !== first && renamed !== terminal.id && (
              <button
                type="button"
                className="icon-button terminal-tab-close"
                // A list of tabs has nothing but tabs in it; other ways are Delete on the tab and the host's menu.
                aria-hidden="true"
                tabIndex={-1}
                title={`Close ${terminal.name} (Delete)`}
                onClick={() => {
                  askToClose(terminal);
                }}
              >
                <Glyph name="close" />
              </button>
            )}
          </div>
        ))}
      </div>
      <AskDialog
        open={doomed !== undefined}
        heading={`Close the terminal ${doomed?.name ?? ''}?`}
        answers={[
          { label: 'Keep it', value: false },
          { label: 'Close it', value: true, kind: 'alarm' },
        ]}
        onAnswer={(answer) => {
          setClosing(null);
          if (answer === true && doomed !== undefined) close(doomed);
        }}
      >
        <p>What runs in it ends, and what is on its screen is lost.</p>
      </AskDialog>
    </>
  );
}
