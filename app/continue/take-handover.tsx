'use client';

import { useState, type ReactElement } from 'react';
import { LabError, type WireError } from '../../server/protocol/errors';
import { Problem } from '../ui/problem';
import { takeHandover } from '../workspace/session/api';
import '../ui/message-page.css';

/** Asks before it does: a link that somebody sent must not put a learner into that one's session unnoticed. */
export function TakeHandover({ handover }: { handover: string }): ReactElement {
  const [isTaking, setIsTaking] = useState(false);
  const [problem, setProblem] = useState<WireError | null>(null);
  const take = async (): Promise<void> => {
    setIsTaking(true);
    setProblem(null);
    try {
      const lessonId = await takeHandover(handover);
      // The key is worth nothing now, and going back to it would only show that.
      window.location.replace(`/lessons/${lessonId}`);
    } catch (thrown) {
      setProblem(LabError.from(thrown, 'Going on here').toWire());
      setIsTaking(false);
    }
  };
  return (
    <section className="message-page" aria-labelledby="continue-heading">
      <h1 id="continue-heading">Go on with your session here?</h1>
      <p>
        This link was made in another browser, where a session with two hosts is running. It gives this
        browser the same session: the hosts and terminals as they are, and the steps that are done.
      </p>
      <p>
        Go on only if <b>you</b> made the link. Whoever else has the session sees all that you type in it.
      </p>
      {problem !== null && <Problem error={problem} />}
      <p className="button-row">
        <button
          type="button"
          className="button button-primary"
          disabled={isTaking}
          onClick={() => void take()}
        >
          {isTaking ? 'Asking for the session …' : 'Go on here'}
        </button>
      </p>
    </section>
  );
}
