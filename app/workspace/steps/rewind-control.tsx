'use client';

import { useRef, type ReactElement } from 'react';
import { ConfirmDialog } from '../../ui/confirm-dialog';
import { Problem } from '../../ui/problem';
import { timeOfDay } from '../../ui/time';
import { useLabSession, useSessionState } from '../session/context';
import { canAct, hasPair, rewindOf, savedAtMs } from '../session/selectors';
import './rewind-control.css';

/** Takes both hosts back to the start of a step, if its state was saved. */
export function RewindControl({ stepId }: { stepId: string }): ReactElement | null {
  const session = useLabSession();
  const index = session.lesson.steps.findIndex(({ id }) => id === stepId);
  const savedMs = useSessionState(savedAtMs(stepId));
  const active = useSessionState(hasPair);
  const isPossible = useSessionState(canAct);
  const rewind = useSessionState(rewindOf(stepId));
  const dialog = useRef<HTMLDialogElement>(null);
  const isUnderWay = rewind !== null && rewind.state !== 'refused';
  const refused = rewind?.state === 'refused' ? rewind.problem : null;
  // The first step starts from the template, so it needs no saved state.
  const isOffered = active && (index === 0 || savedMs !== undefined);
  if (!isOffered && refused === null) return null;
  return (
    <div className="rewind">
      {isOffered && (
        <button
          type="button"
          className="rewind-button"
          // Not `disabled`: the dialog returns the focus to this button, which would lose it.
          aria-disabled={isUnderWay || !isPossible}
          onClick={() => {
            if (!isUnderWay && isPossible) dialog.current?.showModal();
          }}
        >
          <svg viewBox="0 0 20 20" aria-hidden="true" data-turning={isUnderWay}>
            <path d="M4 4v5h5M4.6 9a6.5 6.5 0 1 1-.9 4.5" />
          </svg>
          {isUnderWay ? 'Going back to the start of this step…' : 'Go back to the start of this step'}
        </button>
      )}
      {refused !== null && <Problem error={refused} />}
      <ConfirmDialog
        ref={dialog}
        heading={`Go back to the start of step ${index + 1}?`}
        keep="Stay here"
        confirm="Go back"
        onConfirm={() => {
          session.rewind(stepId);
        }}
      >
        <p>
          {savedMs === undefined
            ? 'Both hosts return to their initial state.'
            : `Both hosts return to their state at ${timeOfDay(savedMs)}, when this step began.`}{' '}
          Steps that you finished later become unfinished.
        </p>
        <p>
          <b>You lose:</b> everything that has happened on both hosts since then, including running programs.
        </p>
      </ConfirmDialog>
    </div>
  );
}
