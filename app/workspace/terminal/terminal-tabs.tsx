'use client';

import { useRef, useState, type KeyboardEvent, type ReactElement } from 'react';
import type { HostName } from '../../../server/protocol/hosts';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { AskDialog } from '../../ui/ask-dialog';
import { Glyph } from '../../ui/glyph';
import { useLabSession, useSessionState } from '../session/context';
import { activeTerminal } from '../panes/pane-layout';
import { isOnline, isOwner, layoutOf, promptsOf, terminalsOf } from '../session/selectors';
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
      aria-label="Terminal name"
      value={name}
      maxLength={40}
      size={Math.max(4, name.length)}
      // The learner asked to rename, so the field takes the focus.
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

/** One tab for each terminal of a host. Arrow keys move between tabs, as in the tabs pattern of WAI-ARIA. */
export function TerminalTabs(props: {
  host: HostName;
  focus: (id: string) => void;
  /** The terminal whose closing the learner must confirm, because a program runs in it. */
  closing: string | null;
  setClosing: (id: string | null) => void;
}): ReactElement {
  const { host, focus, closing, setClosing } = props;
  const session = useLabSession();
  const all = useSessionState(terminalsOf);
  const layout = useSessionState(layoutOf(host));
  const atPrompt = useSessionState(promptsOf);
  const owned = useSessionState(isOwner);
  const online = useSessionState(isOnline);
  const [renamed, setRenamed] = useState<string | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const terminals = all.filter((one) => one.host === host);
  const active = activeTerminal(layout);
  const first = terminals[0]?.id;

  const toTab = (id: string): void => {
    session.showTerminal(id);
    list.current?.querySelector<HTMLElement>(`#${CSS.escape(tabId(id))}`)?.focus();
  };
  const close = (terminal: TerminalInfo): void => {
    const index = terminals.indexOf(terminal);
    session.closeTerminal(terminal.id);
    const next = terminals[index + 1] ?? terminals[index - 1];
    // Wait until the dialog has restored the focus.
    if (next !== undefined)
      requestAnimationFrame(() => {
        toTab(next.id);
      });
  };
  const askToClose = (terminal: TerminalInfo): void => {
    if (!owned || !online || terminal.id === first) return;
    if (atPrompt[terminal.id] === true) close(terminal);
    else setClosing(terminal.id);
  };
  const ending = terminals.find(({ id }) => id === closing);
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
    else if (event.key === 'F2' && owned) setRenamed(terminal.id);
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
            data-shown={layout.shown.includes(terminal.id)}
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
                aria-controls={layout.shown.includes(terminal.id) ? tabPanelId(terminal.id) : undefined}
                tabIndex={terminal.id === active ? 0 : -1}
                title={owned ? 'Rename: F2 or double-click' : undefined}
                onClick={() => {
                  session.showTerminal(terminal.id);
                }}
                onDoubleClick={() => {
                  if (owned) setRenamed(terminal.id);
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
            {owned && terminal.id !== first && renamed !== terminal.id && (
              <button
                type="button"
                className="icon-button terminal-tab-close"
                // A tablist may contain only tabs. Delete on the tab and the host's menu close the terminal too.
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
        open={ending !== undefined}
        heading={`Close terminal ${ending?.name ?? ''}?`}
        answers={[
          { label: 'Keep open', value: false },
          { label: 'Close terminal', value: true, kind: 'alarm' },
        ]}
        onAnswer={(answer) => {
          setClosing(null);
          if (answer === true && ending !== undefined) close(ending);
        }}
      >
        <p>This ends its programs and deletes its output.</p>
      </AskDialog>
    </>
  );
}
