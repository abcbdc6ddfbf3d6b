'use client';

import { useId, useState, type ReactElement, type Ref } from 'react';
import { Problem } from '../../ui/problem';
import { useLabSession, useSessionState } from './context';
import { LinkField } from '../../ui/link-field';
import '../../ui/dialog.css';

/** A link by which the learner goes on in another browser. */
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
      <h2 id={headingId}>Go on in another browser</h2>
      <div className="dialog-text">
        <p>
          Open the link there, on this computer or another one. Hosts, terminals and steps are as they are
          here, and this page goes on as well.
        </p>
        <p>
          It works <b>once</b>, within ten minutes. Who opens it can do all that you can: keep it to yourself.
        </p>
        {link !== null && <LinkField link={link} />}
        {problem !== null && <Problem error={problem} />}
      </div>
      <form method="dialog" className="button-row">
        <button type="button" className="button button-primary" onClick={() => void show()}>
          {link === null ? 'Make a link' : 'Make another link'}
        </button>
        <button type="submit" className="button">
          Close
        </button>
      </form>
    </dialog>
  );
}
