'use client';

import { useState, type ReactElement } from 'react';
import { LabError, type WireError } from '../../server/protocol/errors';
import { Problem } from '../ui/problem';
import { BrowserGateway } from '../workspace/session/browser-gateway';
import '../ui/message-page.css';

/** Asks first, so a link cannot put a learner into the sender's session unnoticed. */
export function TakeHandover({ handover }: { handover: string }): ReactElement {
  const [isTaking, setIsTaking] = useState(false);
  const [problem, setProblem] = useState<WireError | null>(null);
  const take = async (): Promise<void> => {
    setIsTaking(true);
    setProblem(null);
    try {
      const lessonId = await new BrowserGateway().takeHandover(handover);
      // Replaces the address, because the back button would return to a used key.
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
        This link opens a session that is running in another browser, with its two hosts, terminals and
        finished steps.
      </p>
      <p>
        Continue only if <b>you</b> created the link. Everyone in the session can see what you type.
      </p>
      {problem !== null && <Problem error={problem} />}
      <p className="button-row">
        <button
          type="button"
          className="button button-primary"
          disabled={isTaking}
          onClick={() => void take()}
        >
          {isTaking ? 'Opening the session…' : 'Continue here'}
        </button>
      </p>
    </section>
  );
}
