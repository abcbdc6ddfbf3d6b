'use client';

import { useId, useRef, type ReactElement, type ReactNode } from 'react';
import { ConfirmDialog } from '../../ui/confirm-dialog';
import { timeOfDay } from '../../ui/time';
import { useLabSession, useSessionState } from './context';
import { HandoverDialog } from './handover-dialog';
import { deadlineOf, hasPair, hasSession } from './selectors';
import { ShareDialog } from './share-dialog';
import '../../ui/popover.css';
import './session-menu.css';

/** One action, and what it does. */
function MenuEntry(props: { label: string; onChoose: () => void; children: ReactNode }): ReactElement {
  return (
    <div>
      <button type="button" className="button" onClick={props.onChoose}>
        {props.label}
      </button>
      <p className="muted">{props.children}</p>
    </div>
  );
}

/** Actions on the whole session; each asks before it deletes anything. */
export function SessionMenu(): ReactElement | null {
  const session = useLabSession();
  const active = useSessionState(hasSession);
  const canReset = useSessionState(hasPair);
  const endsAtMs = useSessionState(deadlineOf)?.endsAtMs;
  const menuId = useId();
  const menu = useRef<HTMLDivElement>(null);
  const reset = useRef<HTMLDialogElement>(null);
  const end = useRef<HTMLDialogElement>(null);
  const handover = useRef<HTMLDialogElement>(null);
  const share = useRef<HTMLDialogElement>(null);
  // Close the menu first: the focus returns to its button, and the dialog then restores it to that button.
  const ask = (dialog: HTMLDialogElement | null): void => {
    menu.current?.hidePopover();
    dialog?.showModal();
  };
  if (!active) return null;
  return (
    <>
      <button type="button" className="button button-quiet" popoverTarget={menuId}>
        Session
      </button>
      <div id={menuId} ref={menu} popover="auto" className="popover session-menu">
        {canReset && (
          <MenuEntry
            label="Share view"
            onChoose={() => {
              ask(share.current);
            }}
          >
            Create a link that lets others watch your terminals. They cannot change anything.
          </MenuEntry>
        )}
        {canReset && (
          <MenuEntry
            label="Continue in another browser"
            onChoose={() => {
              ask(handover.current);
            }}
          >
            Create a link that opens this session in another browser too.
          </MenuEntry>
        )}
        {canReset && (
          <MenuEntry
            label="Get fresh hosts"
            onChoose={() => {
              ask(reset.current);
            }}
          >
            Delete both hosts and start the lesson over with new ones.
          </MenuEntry>
        )}
        <MenuEntry
          label="End session"
          onChoose={() => {
            ask(end.current);
          }}
        >
          {endsAtMs === undefined
            ? 'Delete both hosts now.'
            : `Delete both hosts now. Otherwise the session ends at ${timeOfDay(endsAtMs)}.`}
        </MenuEntry>
      </div>
      <ShareDialog ref={share} />
      <HandoverDialog ref={handover} />
      <ConfirmDialog
        ref={reset}
        heading="Replace both hosts with fresh ones?"
        keep="Keep these hosts"
        confirm="Get fresh hosts"
        onConfirm={() => void session.reset()}
      >
        <p>
          <b>You lose:</b> everything on both hosts, the saved states of the steps, and the marks on finished
          steps.
        </p>
        <p>
          <b>You keep:</b> your place in the text.
        </p>
      </ConfirmDialog>
      <ConfirmDialog
        ref={end}
        heading="End this session?"
        keep="Keep working"
        confirm="End session"
        onConfirm={() => void session.end()}
      >
        <p>The server deletes both hosts and everything on them. With new hosts you start over.</p>
      </ConfirmDialog>
    </>
  );
}
