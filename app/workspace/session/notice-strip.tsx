'use client';

import { useEffect, type ReactElement } from 'react';
import { countdown, spellEstimate } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { useLabSession, useSessionState } from './context';
import { deadlineOf, isExtending, isOnline } from './selectors';
import type { SessionState } from './session-state';
import './notice-strip.css';

const minuteMs = 60_000;
/** The page warns this long before the session ends, unless the server sets another time. */
export const endWarningMs = 5 * minuteMs;

/** Warns that the session ends soon, because the learner has not typed or because its time is up. */
function EndWarning(props: { endsAtMs: number; idle: boolean; nowMs: number }): ReactElement {
  const { idle } = props;
  const session = useLabSession();
  const extensionsLeft = useSessionState(deadlineOf)?.extensionsLeft ?? 0;
  const extending = useSessionState(isExtending);
  const offline = !useSessionState(isOnline);
  const leftMs = props.endsAtMs - props.nowMs;
  const lastMinute = leftMs <= minuteMs;

  useEffect(() => {
    const time = lastMinute ? 'in less than a minute' : 'in a few minutes';
    session.announce(
      idle ? `You have not typed for a while. Your session ends ${time}.` : `Your session ends ${time}.`,
    );
  }, [session, idle, lastMinute]);

  return (
    <section className="strip" data-urgent={lastMinute} aria-label="Your session ends soon">
      <p>
        {idle ? 'You have not typed for a while. Your session ends in ' : 'Your session ends in '}
        <b role="timer">{countdown(leftMs)}</b>.
        {!idle && extensionsLeft === 0 && ' You cannot add more time. You can start new hosts afterwards.'}
      </p>
      {idle && (
        <button
          type="button"
          className="button"
          disabled={offline}
          onClick={() => {
            session.confirmPresence();
          }}
        >
          I’m still here
        </button>
      )}
      {!idle && extensionsLeft > 0 && (
        // Not `disabled`, which would lose the focus.
        <button
          type="button"
          className="button"
          aria-disabled={extending}
          onClick={() => void session.extend()}
        >
          Add time ({extensionsLeft} left)
        </button>
      )}
    </section>
  );
}

/** The session panel's message in one line. */
function briefOf(state: SessionState): string | undefined {
  switch (state.phase) {
    case 'queued': {
      const { position, estimateMs } = state.queue;
      const place = position === 1 ? 'You are next' : `You are number ${position} in the queue`;
      return estimateMs === null ? `${place}.` : `${place}. Estimated wait: ${spellEstimate(estimateMs)}.`;
    }
    case 'none':
      return state.lab?.cannotRun?.message;
    case 'failed':
      return state.failure.message;
    case 'ended':
      return 'The session has ended.';
    case 'loading':
    case 'requesting':
    case 'joining':
    case 'active':
      return undefined;
  }
}

/** For windows that show either the lesson or the hosts. */
function PanelInBrief(): ReactElement | null {
  const brief = useSessionState(briefOf);
  if (brief === undefined) return null;
  return (
    <section className="strip strip-brief" aria-label="State of your hosts">
      <p>{brief}</p>
    </section>
  );
}

/** One line below the bar, shown only while there is something to say. */
export function NoticeStrip(): ReactElement | null {
  const nowMs = useNow(1_000);
  const deadline = useSessionState(deadlineOf);
  if (deadline === null) return <PanelInBrief />;
  const { endsAtMs, idleEndsAtMs } = deadline;
  if (idleEndsAtMs !== null && idleEndsAtMs <= endsAtMs) {
    return <EndWarning endsAtMs={idleEndsAtMs} idle nowMs={nowMs} />;
  }
  if (endsAtMs - nowMs > (deadline.warningMs ?? endWarningMs)) return null;
  return <EndWarning endsAtMs={endsAtMs} idle={false} nowMs={nowMs} />;
}
