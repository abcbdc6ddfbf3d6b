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
      <h2 id={headingId}>Share a view of your terminals</h2>
      <div className="dialog-text">
        <p>
          Whoever has the link <b>sees</b> the terminals of both hosts as they are, and all output that
          follows, until the session ends or you stop sharing.
        </p>
        <p>
          Viewers <b>cannot</b> type, run, close or resize anything, and they do not see the lesson’s steps.
          They see no input that the terminal hides, such as a password.
        </p>
        {link !== null && <LinkField link={link} />}
        {grant === null && (
          <p role="status">
            The link is revoked: nobody can view the terminals. A new link will be a different one.
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
            Show a link
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
