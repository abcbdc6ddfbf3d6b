'use client';

import { useId, useRef, type ReactElement } from 'react';
import { ConfirmDialog } from '../ui/confirm-dialog';
import { timeOfDay } from '../ui/time';
import { useLabSession, useSessionState } from './context';
import { hasPair } from './session';
import { HandoverDialog } from './handover-dialog';
import { ShareDialog } from './share-dialog';

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
          <div>
            <button
              type="button"
              className="button"
              onClick={() => {
                ask(share.current);
              }}
            >
              Share view
            </button>
            <p className="muted">A link by which others see your terminals and can change nothing.</p>
          </div>
        )}
        {canReset && (
          <div>
            <button
              type="button"
              className="button"
              onClick={() => {
                ask(handover.current);
              }}
            >
              Go on elsewhere
            </button>
            <p className="muted">A link by which you have this session in another browser as well.</p>
          </div>
        )}
        {canReset && (
          <div>
            <button
              type="button"
              className="button"
              onClick={() => {
                ask(reset.current);
              }}
            >
              Fresh hosts
            </button>
            <p className="muted">Give these two up for a new pair, and begin the lesson anew.</p>
          </div>
        )}
        <div>
          <button
            type="button"
            className="button"
            onClick={() => {
              ask(end.current);
            }}
          >
            End session
          </button>
          <p className="muted">
            {endsAtMs === undefined
              ? 'Delete both hosts now.'
              : `Delete both hosts now. At ${timeOfDay(endsAtMs)} they end by themselves.`}
          </p>
        </div>
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
