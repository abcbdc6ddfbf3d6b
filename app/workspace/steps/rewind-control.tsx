'use client';

import { useRef, type ReactElement } from 'react';
import { ConfirmDialog } from '../../ui/confirm-dialog';
import { Problem } from '../../ui/problem';
import { timeOfDay } from '../../ui/time';
import { useLabSession, useSessionState } from '../session/context';
import { hasPair } from '../session/session';
import './rewind-control.css';

/** The way back to the start of a step, where there is one. */
export function RewindControl({ stepId }: { stepId: string }): ReactElement | null {
  const session = useLabSession();
  const index = session.lesson.steps.findIndex(({ id }) => id === stepId);
  const savedAtMs = useSessionState((state) => state.saves.find((save) => save.stepId === stepId)?.savedAtMs);
  const active = useSessionState(hasPair);
  const possible = useSessionState((state) => state.phase === 'ready' && state.connection === 'open');
  const rewind = useSessionState((state) => (state.rewind?.stepId === stepId ? state.rewind : null));
  const dialog = useRef<HTMLDialogElement>(null);
  const under = rewind !== null && rewind.state !== 'refused';
  const refused = rewind?.state === 'refused' ? rewind.error : null;
  // The first step begins with the hosts as they come.
  const exists = active && (index === 0 || savedAtMs !== undefined);
  if (!exists && refused === null) return null;
  return (
    <div className="rewind">
      {exists && (
        <button
          type="button"
          className="rewind-button"
          // Not `disabled`: the focus comes back to it from the dialog and would be lost.
          aria-disabled={under || !possible}
          onClick={() => {
            if (!under && possible) dialog.current?.showModal();
          }}
        >
          <svg viewBox="0 0 20 20" aria-hidden="true" data-turning={under}>
            <path d="M4 4v5h5M4.6 9a6.5 6.5 0 1 1-.9 4.5" />
          </svg>
          {under ? 'Going back to the start of this step' : 'Go back to the start of this step'}
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
          {savedAtMs === undefined
            ? 'Both hosts become as they were when you got them.'
            : `Both hosts become as they were at ${timeOfDay(savedAtMs)}, when this step began.`}{' '}
          Steps that were open then are open again.
        </p>
        <p>
          <b>Lost:</b> everything done since, on both hosts: files, containers, and whatever runs in the
          terminals.
        </p>
      </ConfirmDialog>
    </div>
  );
}
