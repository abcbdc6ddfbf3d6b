'use client';

import { useId, type ReactElement, type Ref } from 'react';
import { Problem } from '../../ui/problem';
import { useLabSession, useSessionState } from './context';
import { LinkField } from '../../ui/link-field';
import '../../ui/dialog.css';

/** A link by which others may look on, and its end. */
export function ShareDialog({ ref }: { ref: Ref<HTMLDialogElement> }): ReactElement {
  const session = useLabSession();
  const grant = useSessionState((state) => state.grant);
  const problem = useSessionState((state) => state.problem);
  const headingId = useId();
  const link = typeof grant === 'string' ? `${window.location.origin}/watch/${grant}` : null;
  return (
    <dialog ref={ref} className="dialog" aria-labelledby={headingId}>
      <h2 id={headingId}>Share the view of your terminals</h2>
      <div className="dialog-text">
        <p>
          Whoever has the link <b>sees</b> the terminals of both hosts as they are, and all that is put out in
          them from then on, until the session ends or you stop sharing.
        </p>
        <p>
          They <b>cannot</b> type, run, close or resize anything, and they do not see the lesson’s steps. What
          you type where it is not shown, such as a password, they do not see either.
        </p>
        {link !== null && <LinkField link={link} />}
        {grant === null && <p role="status">Nobody can look on. A new link will be another one.</p>}
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
