'use client';

import { useId, type ReactElement, type ReactNode, type Ref } from 'react';
import './dialog.css';

/**
 * Asks for confirmation before something is lost. Open it with `showModal()`: then the browser keeps the focus inside, closes it on
 * Escape and restores the focus. The harmless answer comes first, so it has the focus.
 */
export function ConfirmDialog({
  ref,
  ...props
}: {
  ref: Ref<HTMLDialogElement>;
  heading: string;
  /** Label of the button that cancels. */
  keep: string;
  /** Label of the button that confirms. */
  confirm: string;
  onConfirm: () => void;
  children: ReactNode;
}): ReactElement {
  const headingId = useId();
  const textId = useId();
  return (
    <dialog ref={ref} className="dialog" aria-labelledby={headingId} aria-describedby={textId}>
      <h2 id={headingId}>{props.heading}</h2>
      <div id={textId} className="dialog-text">
        {props.children}
      </div>
      <form method="dialog" className="button-row">
        <button type="submit" className="button">
          {props.keep}
        </button>
        <button type="submit" className="button button-alarm" onClick={props.onConfirm}>
          {props.confirm}
        </button>
      </form>
    </dialog>
  );
}
