'use client';

import { useId, useState, type ReactElement, type Ref } from 'react';
import { Problem } from '../../ui/problem';
import { useLabSession, useSessionState } from './context';
import { LinkField } from '../../ui/link-field';
import '../../ui/dialog.css';

/** Makes a link that opens the session in another browser of the learner. */
export function HandoverDialog({ ref }: { ref: Ref<HTMLDialogElement> }): ReactElement {
  const session = useLabSession();
  const problem = useSessionState((state) => state.problem);
  const [link, setLink] = useState<string | null>(null);
  const headingId = useId();
  const show = async (): Promise<void> => {
    const key = await session.offerHandover();
    if (key !== undefined) setLink(`${window.location.origin}/continue/${key}`);
  };
  return (
    <dialog
      ref={ref}
      className="dialog"
      aria-labelledby={headingId}
      onClose={() => {
        setLink(null);
      }}
    >
      <h2 id={headingId}>Continue in another browser</h2>
      <div className="dialog-text">
        <p>
          Open the link in the other browser, on this computer or another one. It shows the same hosts,
          terminals and steps. This page keeps working too.
        </p>
        <p>
          The link works <b>once</b>, within ten minutes. Anyone who opens it can do everything that you can,
          so don’t share it.
        </p>
        {link !== null && <LinkField link={link} />}
        {problem !== null && <Problem error={problem} />}
      </div>
      <form method="dialog" className="button-row">
        <button type="button" className="button button-primary" onClick={() => void show()}>
          {link === null ? 'Create link' : 'Create another link'}
        </button>
        <button type="submit" className="button">
          Close
        </button>
      </form>
    </dialog>
  );
}
