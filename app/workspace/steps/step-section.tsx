'use client';

import { Children, type ReactElement, type ReactNode } from 'react';
import type { Block } from '../../../server/lessons/lesson';
import { HostName } from '../../ui/host';
import { useLabSession, useSessionState } from '../session/context';
import { canAct, hasPair, hasPassed, isChecking, stepsOf } from '../session/selectors';
import { RewindControl } from './rewind-control';
import { StepMark } from './step-mark';
import '../../ui/script.css';
import './step-section.css';

function Scripts({ summary, blocks }: { summary: string; blocks: readonly Block[] }): ReactElement {
  return (
    <details className="scripts">
      <summary>{summary}</summary>
      {blocks.map((block) => (
        <div key={block.line} className="script">
          <HostName host={block.host} />
          <pre tabIndex={0}>
            <code>{block.text}</code>
          </pre>
        </div>
      ))}
    </details>
  );
}

function StepStatus({ stepId }: { stepId: string }): ReactElement {
  const session = useLabSession();
  const step = useSessionState((state) => stepsOf(state)[stepId]);
  const ready = useSessionState(hasPair);
  const canCheck = useSessionState(canAct);
  const checking = useSessionState(isChecking(stepId));
  const definition = session.lesson.steps.find(({ id }) => id === stepId);
  const passed = step?.state === 'passed';
  const asked = step?.checkedAtMs !== null && step !== undefined;

  let words = 'The lab checks this step automatically while your hosts run.';
  if (passed || asked) words = step.message;
  else if (ready) words = 'Not checked yet.';

  return (
    <div className="step-status">
      <div className="step-status-line">
        <StepMark passed={passed} />
        <p>
          <strong>{passed ? 'Done.' : asked ? 'Not done yet.' : 'To do.'}</strong> {words}
        </p>
        {ready && !passed && (
          <button
            type="button"
            className="button button-quiet"
            disabled={!canCheck || checking}
            onClick={() => {
              session.check(stepId);
            }}
          >
            {checking ? 'Checking…' : 'Check now'}
          </button>
        )}
      </div>
      {definition !== undefined && (
        <>
          <Scripts summary="How this is checked" blocks={definition.checks} />
          {definition.solves.length > 0 && <Scripts summary="Show solution" blocks={definition.solves} />}
        </>
      )}
    </div>
  );
}

/** A section of the lesson that has commands and a check. Its heading is the first child. */
export function StepSection({ id, children }: { id: string; children: ReactNode }): ReactElement {
  const session = useLabSession();
  const passed = useSessionState(hasPassed(id));
  const number = session.lesson.steps.findIndex((step) => step.id === id) + 1;
  const [heading, ...rest] = Children.toArray(children);
  return (
    <section className="step" data-step={id} data-state={passed ? 'passed' : 'open'} aria-labelledby={id}>
      <div className="step-number" aria-hidden="true">
        <StepMark passed={passed} number={number} />
      </div>
      {heading}
      <RewindControl stepId={id} />
      {rest}
      <StepStatus stepId={id} />
    </section>
  );
}
