'use client';

import { useState, type ReactElement } from 'react';
import { LabError, type WireError } from '../../server/protocol/errors';
import { Problem } from '../ui/problem';
import { BrowserGateway } from '../workspace/session/browser-gateway';
import '../ui/message-page.css';

/** Asks first: a link that somebody sent must not put a learner into the sender's session unnoticed. */
export function TakeHandover({ handover }: { handover: string }): ReactElement {
  const [isTaking, setIsTaking] = useState(false);
  const [problem, setProblem] = useState<WireError | null>(null);
  const take = async (): Promise<void> => {
    setIsTaking(true);
    setProblem(null);
    try {
      const lessonId = await new BrowserGateway().takeHandover(handover);
      // The key is used up, and the back button would lead to it.
      window.location.replace(`/lessons/${lessonId}`);
    } catch (thrown) {
      setProblem(LabError.from(thrown, 'Continuing here').toWire());
      setIsTaking(false);
    }
  };
  return (
    <section className="message-page" aria-labelledby="continue-heading">
      <h1 id="continue-heading">Continue your session here?</h1>
      <p>
        Somebody made this link in another browser, where a session with two hosts is running. The link gives
        this browser the same session: its hosts, its terminals and its finished steps.
      </p>
      <p>
        Continue only if <b>you</b> made the link. Everybody who has the session sees what you type in it.
      </p>
      {problem !== null && <Problem error={problem} />}
      <p className="button-row">
        <button
          type="button"
          className="button button-primary"
          disabled={isTaking}
          onClick={() => void take()}
        >
          {isTaking ? 'Asking for the session …' : 'Continue here'}
        </button>
      </p>
    </section>
  );
}
