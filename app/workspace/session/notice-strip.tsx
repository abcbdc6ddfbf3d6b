'use client';

import { useEffect, type ReactElement } from 'react';
import { countdown, spellEstimate } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { useLabSession, useSessionState } from './context';
import './notice-strip.css';

const minuteMs = 60_000;
/** From here on the end of the session is said aloud, if the server has not set another time. */
export const endWarningMs = 5 * minuteMs;

/** The hosts' end for want of input, if it comes first, or for want of time, if that is near. */
function EndWarning(props: { endsAtMs: number; idle: boolean; nowMs: number }): ReactElement {
  const { idle } = props;
  const session = useLabSession();
  const extensionsLeft = useSessionState((state) => state.deadline?.extensionsLeft ?? 0);
  const extending = useSessionState((state) => state.extending);
  const offline = useSessionState((state) => state.connection !== 'open');
  const leftMs = props.endsAtMs - props.nowMs;
  const lastMinute = leftMs <= minuteMs;

  useEffect(() => {
    const time = lastMinute ? 'in less than a minute' : 'in a few minutes';
    session.announce(
      idle ? `Nothing was typed for a while. Your hosts end ${time}.` : `Your hosts end ${time}.`,
    );
  }, [session, idle, lastMinute]);

  return (
    <section className="strip" data-urgent={lastMinute} aria-label="Your hosts end soon">
      <p>
        {idle ? 'Nothing was typed for a while; your hosts end in ' : 'Your hosts end in '}
        <b role="timer">{countdown(leftMs)}</b>.
        {!idle && extensionsLeft === 0 && ' No more time can be added; you can start new ones then.'}
      </p>
      {idle && (
        <button
          type="button"
          className="button"
          disabled={offline}
          onClick={() => {
            session.here();
          }}
        >
          I am here
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
          More time ({extensionsLeft} left)
        </button>
      )}
    </section>
  );
}

/** What the panel beside the lesson says, in a line, for windows that show one of the two at a time. */
function PanelInBrief(): ReactElement | null {
  const brief = useSessionState(({ phase, queue, lab, pair }) => {
    if (queue !== null) {
      const place = queue.position === 1 ? 'You are next' : `You are number ${queue.position} in the queue`;
      return queue.estimateMs === null ? `${place}.` : `${place}, ${spellEstimate(queue.estimateMs)} to go.`;
    }
    if (phase === 'none') return lab?.cannotRun?.message;
    if (phase === 'failed') return pair?.error?.message ?? 'The hosts have failed.';
    return phase === 'ended' ? 'The session has ended.' : undefined;
  });
  if (brief === undefined) return null;
  return (
    <section className="strip strip-brief" aria-label="Your hosts in brief">
      <p>{brief}</p>
    </section>
  );
}

/** One line below the bar, and only while there is something to say. */
export function NoticeStrip(): ReactElement | null {
  const nowMs = useNow(1_000);
  const deadline = useSessionState((state) => state.deadline);
  if (deadline === null) return <PanelInBrief />;
  const { endsAtMs, idleEndsAtMs } = deadline;
  if (idleEndsAtMs !== null && idleEndsAtMs <= endsAtMs) {
    return <EndWarning endsAtMs={idleEndsAtMs} idle nowMs={nowMs} />;
  }
  if (endsAtMs - nowMs > (deadline.warningMs ?? endWarningMs)) return null;
  return <EndWarning endsAtMs={endsAtMs} idle={false} nowMs={nowMs} />;
}
