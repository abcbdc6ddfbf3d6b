'use client';

import { useEffect, useId, useRef, type ReactElement, type ReactNode } from 'react';
import './dialog.css';

export interface Answer<T> {
  label: string;
  value: T;
  kind?: 'primary' | 'alarm';
}

/**
 * Asks a question that the learner did not open. The dialog is modal, so the browser keeps the focus inside and restores it
 * afterwards. Escape answers `null`. The first answer has the focus, so it should be the harmless one.
 */
export function AskDialog<T>(props: {
  open: boolean;
  heading: string;
  answers: readonly Answer<T>[];
  onAnswer: (answer: T | null) => void;
  children: ReactNode;
}): ReactElement {
  const { open, heading, answers, onAnswer, children } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const headingId = useId();
  const textId = useId();
  useEffect(() => {
    if (open) {
      dialog.current?.showModal();
      // The browser would focus the first focusable element, which may be a scrollable text.
      dialog.current?.querySelector<HTMLElement>('.button')?.focus();
    } else dialog.current?.close();
  }, [open]);
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={headingId}
      aria-describedby={textId}
      onClose={() => {
        if (open) onAnswer(null);
      }}
    >
      <h2 id={headingId}>{heading}</h2>
      <div id={textId} className="dialog-text">
        {children}
      </div>
      <div className="button-row">
        {answers.map(({ label, value, kind }) => (
          <button
            key={label}
            type="button"
            className={`button${kind === undefined ? '' : ` button-${kind}`}`}
            onClick={() => {
              onAnswer(value);
            }}
          >
            {label}
          </button>
        ))}
      </div>
    </dialog>
  );
}
