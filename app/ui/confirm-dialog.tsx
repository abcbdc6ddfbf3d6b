'use client';

import { useId, type ReactElement, type ReactNode, type Ref } from 'react';
import './dialog.css';

/**
 * Asks before something is lost. Opened with `showModal()`, so the browser keeps the focus inside, closes it on Escape
 * and gives the focus back. The harmless answer comes first and so has the focus.
 */
export function ConfirmDialog({
  ref,
  ...props
}: {
  ref: Ref<HTMLDialogElement>;
  heading: string;
  /** What the learner does instead. */
  keep: string;
  /** What is done, as its button says it. */
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
