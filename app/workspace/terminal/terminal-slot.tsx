'use client';

import { useEffect, useId, useLayoutEffect, useRef, useSyncExternalStore, type ReactElement } from 'react';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { AskDialog } from '../../ui/ask-dialog';
import { Glyph } from '../../ui/glyph';
import { useLabSession, useSessionState } from '../session/context';
import { SearchPanel } from './search-panel';
import type { HostTerminal, TerminalState } from './terminal';
import { spellCommand } from './terminal';
import { tabId, tabPanelId } from './terminal-tabs';
import '../../ui/menu.css';
import './terminal.css';
import './terminal-slot.css';

/** How long a note about something that went well stands, in milliseconds. */
const noteMs = 5_000;
/** How much of a paste is shown before it is entered. */
const previewCharacters = 600;

function useTerminalState<T>(terminal: HostTerminal, select: (state: TerminalState) => T): T {
  const get = (): T => select(terminal.getState());
  return useSyncExternalStore(terminal.subscribe, get, get);
}

/** Another page decides the size. */
function SizeNote({ terminal }: { terminal: HostTerminal }): ReactElement | null {
  const isOwner = useSessionState((state) => state.role === 'owner');
  const size = useTerminalState(terminal, (state) => state.size);
  const fits = useTerminalState(terminal, (state) => state.fits);
  const elsewhere = useTerminalState(terminal, (state) => state.active === false);
  if (!elsewhere || (size.columns === fits.columns && size.rows === fits.rows)) return null;
  return (
    <p className="terminal-note" data-kind="size">
      {isOwner ? 'Sized for another page' : 'The size is the owner’s'}: {size.columns} × {size.rows}
      {isOwner && (
        <button
          type="button"
          className="button button-small"
          onClick={() => {
            terminal.useThisSize();
            terminal.focus();
          }}
        >
          Use this size
        </button>
      )}
    </p>
  );
}

function PassingNote({ terminal }: { terminal: HostTerminal }): ReactElement | null {
  const note = useTerminalState(terminal, (state) => state.note);
  useEffect(() => {
    if (note === null || note.copy !== undefined) return;
    const timer = setTimeout(() => {
      terminal.dismissNote();
    }, noteMs);
    return () => {
      clearTimeout(timer);
    };
  }, [terminal, note]);
  return (
    <div role="status">
      {note !== null && (
        <p className="terminal-note" key={note.atMs}>
          {note.text}
          {note.copy !== undefined && (
            <button
              type="button"
              className="button button-small"
              onClick={() => {
                void terminal.copyByHand();
                terminal.focus();
              }}
            >
              Copy
            </button>
          )}
          {note.copy !== undefined && (
            <button
              type="button"
              className="icon-button"
              aria-label="Dismiss"
              onClick={() => {
                terminal.dismissNote();
              }}
            >
              <Glyph name="close" />
            </button>
          )}
        </p>
      )}
    </div>
  );
}

/** What was typed and did not arrive; stays until it is dismissed, since it may have been a password's half. */
function Trouble({ id }: { id: string }): ReactElement {
  const session = useLabSession();
  const trouble = useSessionState((state) => state.trouble[id]);
  return (
    <div role="alert">
      {trouble !== undefined && (
        <p className="terminal-note" data-kind="alarm">
          {trouble.kind === 'lost'
            ? `What you typed last did not arrive: the last ${trouble.keys === 1 ? 'key' : `${trouble.keys} keys`}.`
            : 'Not pasted: it is longer than what a terminal takes at a time (1 MiB).'}
          <button
            type="button"
            className="icon-button"
            aria-label="Dismiss"
            onClick={() => {
              session.setTrouble(id, null);
            }}
          >
            <Glyph name="close" />
          </button>
        </p>
      )}
    </div>
  );
}

function PasteQuestion({ terminal }: { terminal: HostTerminal }): ReactElement {
  const paste = useTerminalState(terminal, (state) => state.paste);
  const preview = paste?.text.slice(0, previewCharacters) ?? '';
  return (
    <AskDialog
      open={paste !== null}
      heading={paste?.lines === 1 ? 'Paste and enter it?' : `Paste ${paste?.lines ?? 0} lines?`}
      answers={[
        { label: 'Do not paste', value: false },
        { label: 'Paste', value: true, kind: 'alarm' },
      ]}
      onAnswer={(answer) => {
        terminal.answerPaste(answer === true);
      }}
    >
      <p>
        The program in this terminal takes a paste for typing: each line is entered, and run, as it comes.
      </p>
      <pre className="paste-preview" tabIndex={0}>
        {preview}
        {preview.length < (paste?.text.length ?? 0) && '…'}
      </pre>
    </AskDialog>
  );
}

/** What can be done with one command, beside its mark. */
function CommandMenu({ terminal }: { terminal: HostTerminal }): ReactElement {
  const menu = useTerminalState(terminal, (state) => state.menu);
  const popover = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (menu === null) {
      popover.current?.hidePopover();
      return;
    }
    popover.current?.showPopover();
    // Otherwise Escape would go to the program as well.
    popover.current?.querySelector('button')?.focus();
  }, [menu]);
  return (
    <div
      ref={popover}
      popover="auto"
      className="command-menu"
      style={{ left: menu?.at.right ?? 0, top: menu?.at.top ?? 0 }}
      onToggle={(event) => {
        if (event.newState === 'closed') terminal.closeMenu();
      }}
    >
      {menu !== null && (
        <>
          <p>{`Command ${menu.command.command}: ${spellCommand(menu.command.state).words}`}</p>
          <button
            type="button"
            className="menu-item"
            onClick={() => {
              terminal.closeMenu();
              void terminal.copyOutput(menu.command);
              terminal.focus();
            }}
          >
            Copy its output
          </button>
          <button
            type="button"
            className="menu-item"
            onClick={() => {
              terminal.closeMenu();
              terminal.reveal(menu.command);
              terminal.focus();
            }}
          >
            Scroll to it
          </button>
        </>
      )}
    </div>
  );
}

/** The place of one terminal. */
export function TerminalSlot(props: {
  info: TerminalInfo;
  terminal: HostTerminal;
  /** Whether it is the one in use, of two. */
  isActive: boolean;
  hintId: string;
  searching: boolean;
  endSearch: () => void;
}): ReactElement {
  const { info, terminal, isActive, hintId, searching, endSearch } = props;
  const screen = useRef<HTMLDivElement>(null);
  const nameId = useId();
  const dim = useSessionState(({ phase }) => phase !== 'ready' && phase !== 'rewinding');
  const offline = useSessionState((state) => state.connection !== 'open');
  const found = useTerminalState(terminal, (state) => state.found);

  // Before the old place is gone, so that it is known whether the focus was in there.
  useLayoutEffect(() => {
    const container = screen.current;
    if (container === null) return;
    terminal.mount(container);
    return () => {
      terminal.unmount(container);
    };
  }, [terminal]);
  useEffect(() => {
    terminal.label(nameId, hintId);
  }, [terminal, nameId, hintId]);

  return (
    <div
      className="terminal-slot"
      role="tabpanel"
      id={tabPanelId(info.id)}
      aria-labelledby={tabId(info.id)}
      data-terminal={info.id}
      data-active={isActive}
    >
      <span className="visually-hidden" id={nameId}>
        Terminal {info.name} on {info.host}
      </span>
      {searching && <SearchPanel terminal={terminal} found={found} close={endSearch} />}
      <div className="host-screen" data-dim={dim || offline} ref={screen} />
      <div className="terminal-notes">
        <Trouble id={info.id} />
        <PassingNote terminal={terminal} />
        <SizeNote terminal={terminal} />
      </div>
      <PasteQuestion terminal={terminal} />
      <CommandMenu terminal={terminal} />
    </div>
  );
}
