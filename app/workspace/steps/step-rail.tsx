'use client';

import { useEffect, useState, type ReactElement } from 'react';
import { useLabSession, useSessionState } from '../session/context';
import { stepsOf } from '../session/selectors';
import { StepMark } from './step-mark';
import './step-rail.css';

/** The step that the learner is reading: the one that crosses the upper third of the window. Undefined above the first step. */
function useCurrentStep(ids: readonly string[]): string | undefined {
  const [current, setCurrent] = useState<string>();
  useEffect(() => {
    const observer = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const id = (entry.target as HTMLElement).dataset['step'];
          if (entry.isIntersecting) setCurrent(id);
          else if (entry.boundingClientRect.top > 0) setCurrent((now) => (now === id ? undefined : now));
        }
      },
      { rootMargin: '-25% 0px -70% 0px' },
    );
    for (const section of document.querySelectorAll('[data-step]')) observer.observe(section);
    return () => {
      observer.disconnect();
    };
  }, [ids]);
  return current;
}

/** All steps at a glance, each a link to its section. */
export function StepRail(): ReactElement {
  const { lesson } = useLabSession();
  const steps = useSessionState(stepsOf);
  const [ids] = useState(() => lesson.steps.map(({ id }) => id));
  const current = useCurrentStep(ids);
  return (
    <nav className="step-rail" aria-label="Steps">
      <ol>
        {lesson.steps.map(({ id, title }, index) => {
          const passed = steps[id]?.state === 'passed';
          return (
            <li key={id}>
              <a
                href={`#${id}`}
                aria-current={id === current ? 'step' : undefined}
                aria-label={`Step ${index + 1}: ${title}${passed ? ' (done)' : ''}`}
              >
                <StepMark passed={passed} number={index + 1} />
                <span className="step-rail-title" aria-hidden="true">
                  {title}
                </span>
              </a>
            </li>
          );
        })}
      </ol>
    </nav>
  );
}
