'use client';

import { useEffect, useId, useLayoutEffect, useRef, useSyncExternalStore, type ReactElement } from 'react';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { AskDialog } from '../../ui/ask-dialog';
import { Glyph } from '../../ui/glyph';
import { useLabSession, useSessionState } from '../session/context';
import { hasPair, isOnline, isOwner, undeliveredOf } from '../session/selectors';
import { spellCommand } from './command-words';
import { SearchPanel } from './search-panel';
import type { HostTerminal, TerminalState } from './terminal';
import { tabId, tabPanelId } from './terminal-tabs';
import '../../ui/menu.css';
import './terminal.css';
import './terminal-slot.css';

/** How long a note stays on view, in milliseconds. */
const noteMs = 5_000;
/** Length of the preview of a paste. */
const previewCharacters = 600;

function useTerminalState<T>(terminal: HostTerminal, select: (state: TerminalState) => T): T {
  const get = (): T => select(terminal.getState());
  return useSyncExternalStore(terminal.subscribe, get, get);
}

/** Says that another page decides the terminal's size. */
function SizeNote({ terminal }: { terminal: HostTerminal }): ReactElement | null {
  const owned = useSessionState(isOwner);
  const size = useTerminalState(terminal, (state) => state.size);
  const fits = useTerminalState(terminal, (state) => state.fits);
  const elsewhere = useTerminalState(terminal, (state) => state.active === false);
  if (!elsewhere || (size.columns === fits.columns && size.rows === fits.rows)) return null;
  return (
    <p className="terminal-note" data-kind="size">
      {owned ? 'Sized for another page' : 'Sized for the owner’s page'}: {size.columns} × {size.rows}
      {owned && (
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

/** Reports input that did not arrive. Stays until dismissed, because the input may have been half of a password. */
function UndeliveredNote({ id }: { id: string }): ReactElement {
  const session = useLabSession();
  const input = useSessionState(undeliveredOf(id));
  return (
    <div role="alert">
      {input !== undefined && (
        <p className="terminal-note" data-kind="alarm">
          {input.kind === 'lost'
            ? `The connection broke. The last ${input.keys === 1 ? 'key' : `${input.keys} keys`} that you typed did not arrive.`
            : 'Not pasted: the text is longer than 1 MiB.'}
          <button
            type="button"
            className="icon-button"
            aria-label="Dismiss"
            onClick={() => {
              session.noteUndelivered(id, null);
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
      heading={paste?.lines === 1 ? 'Paste this line?' : `Paste ${paste?.lines ?? 0} lines?`}
      answers={[
        { label: 'Cancel', value: false },
        { label: 'Paste', value: true, kind: 'alarm' },
      ]}
      onAnswer={(answer) => {
        terminal.answerPaste(answer === true);
      }}
    >
      <p>
        The program in this terminal cannot tell pasting from typing. It runs each line as soon as it arrives.
      </p>
      <pre className="paste-preview" tabIndex={0}>
        {preview}
        {preview.length < (paste?.text.length ?? 0) && '…'}
      </pre>
    </AskDialog>
  );
}

/** Actions on one command, beside its mark. */
function CommandMenu({ terminal }: { terminal: HostTerminal }): ReactElement {
  const menu = useTerminalState(terminal, (state) => state.menu);
  const popover = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (menu === null) {
      popover.current?.hidePopover();
      return;
    }
    popover.current?.showPopover();
    // Otherwise the terminal's program would receive Escape too.
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
            Copy output
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
            Scroll to command
          </button>
        </>
      )}
    </div>
  );
}

/** The area of one terminal on the page. */
export function TerminalSlot(props: {
  info: TerminalInfo;
  terminal: HostTerminal;
  /** Whether it is the terminal in use, when there are two. */
  isActive: boolean;
  hintId: string;
  searching: boolean;
  endSearch: () => void;
}): ReactElement {
  const { info, terminal, isActive, hintId, searching, endSearch } = props;
  const screen = useRef<HTMLDivElement>(null);
  const nameId = useId();
  const dim = !useSessionState(hasPair);
  const offline = !useSessionState(isOnline);
  const found = useTerminalState(terminal, (state) => state.found);

  // A layout effect, because it must see whether the old container had the focus before that container goes.
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
        <UndeliveredNote id={info.id} />
        <PassingNote terminal={terminal} />
        <SizeNote terminal={terminal} />
      </div>
      <PasteQuestion terminal={terminal} />
      <CommandMenu terminal={terminal} />
    </div>
  );
}
