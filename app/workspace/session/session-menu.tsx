'use client';

import { useId, useRef, type ReactElement, type ReactNode } from 'react';
import { ConfirmDialog } from '../../ui/confirm-dialog';
import { timeOfDay } from '../../ui/time';
import { useLabSession, useSessionState } from './context';
import { hasPair } from './session';
import { HandoverDialog } from './handover-dialog';
import { ShareDialog } from './share-dialog';
import '../../ui/popover.css';
import './session-menu.css';

/** One thing that can be done, and what it does. */
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

/** What can be done with the session as a whole; each asks before it deletes anything. */
export function SessionMenu(): ReactElement | null {
  const session = useLabSession();
  const active = useSessionState((state) => state.session !== null && state.phase !== 'ended');
  const canReset = useSessionState(hasPair);
  const endsAtMs = useSessionState((state) => state.deadline?.endsAtMs);
  const menuId = useId();
  const menu = useRef<HTMLDivElement>(null);
  const reset = useRef<HTMLDialogElement>(null);
  const end = useRef<HTMLDialogElement>(null);
  const handover = useRef<HTMLDialogElement>(null);
  const share = useRef<HTMLDialogElement>(null);
  // The menu closes first: the focus goes back to its button, and from the dialog to there again.
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
            A link by which others see your terminals and can change nothing.
          </MenuEntry>
        )}
        {canReset && (
          <MenuEntry
            label="Go on elsewhere"
            onChoose={() => {
              ask(handover.current);
            }}
          >
            A link by which you have this session in another browser as well.
          </MenuEntry>
        )}
        {canReset && (
          <MenuEntry
            label="Fresh hosts"
            onChoose={() => {
              ask(reset.current);
            }}
          >
            Give these two up for a new pair, and begin the lesson anew.
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
            : `Delete both hosts now. At ${timeOfDay(endsAtMs)} they end by themselves.`}
        </MenuEntry>
      </div>
      <ShareDialog ref={share} />
      <HandoverDialog ref={handover} />
      <ConfirmDialog
        ref={reset}
        heading="Give both hosts up for fresh ones?"
        keep="Keep these hosts"
        confirm="Get fresh hosts"
        onConfirm={() => void session.reset()}
      >
        <p>
          <b>Lost:</b> everything on both hosts, files and containers included; the saved states of the steps;
          the marks of the steps that are done.
        </p>
        <p>
          <b>Kept:</b> your place in the text.
        </p>
      </ConfirmDialog>
      <ConfirmDialog
        ref={end}
        heading="End this session?"
        keep="Keep working"
        confirm="End session"
        onConfirm={() => void session.end()}
      >
        <p>Both hosts and everything on them are deleted. The steps start over with the next pair.</p>
      </ConfirmDialog>
    </>
  );
}
