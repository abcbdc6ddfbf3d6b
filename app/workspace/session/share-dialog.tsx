'use client';

import { useId, type ReactElement, type Ref } from 'react';
import { Problem } from '../../ui/problem';
import { LinkField } from '../../ui/link-field';
import { useLabSession, useSessionState } from './context';
import { grantOf } from './selectors';
import '../../ui/dialog.css';

/** Makes and revokes the link for viewers. */
export function ShareDialog({ ref }: { ref: Ref<HTMLDialogElement> }): ReactElement {
  const session = useLabSession();
  const grant = useSessionState(grantOf);
  const problem = useSessionState((state) => state.problem);
  const headingId = useId();
  const link = typeof grant === 'string' ? `${window.location.origin}/watch/${grant}` : null;
  return (
    <dialog ref={ref} className="dialog" aria-labelledby={headingId}>
      <h2 id={headingId}>Share view</h2>
      <div className="dialog-text">
        <p>
          Anyone with the link <b>can see</b> the terminals of both hosts and everything that appears in them,
          until the session ends or you stop sharing.
        </p>
        <p>
          Viewers <b>cannot</b> type, run, close or resize anything, and they do not see the lesson’s steps.
          Input that the terminal hides, such as a password, stays hidden.
        </p>
        {link !== null && <LinkField link={link} />}
        {grant === null && (
          <p role="status">
            You revoked the link, and viewers lost access. If you share again, you get a different link.
          </p>
        )}
        {problem !== null && <Problem error={problem} />}
      </div>
      <form method="dialog" className="button-row">
        {link === null ? (
          <button
            type="button"
            className="button button-primary"
            onClick={() => {
              void session.share();
            }}
          >
            Create link
          </button>
        ) : (
          <button
            type="button"
            className="button button-alarm"
            onClick={() => {
              void session.stopSharing();
            }}
          >
            Stop sharing
          </button>
        )}
        <button type="submit" className="button">
          Close
        </button>
      </form>
    </dialog>
  );
}
