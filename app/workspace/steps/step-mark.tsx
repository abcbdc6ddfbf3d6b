import type { ReactElement } from 'react';

/** Open: a ring. Passed: a filled disc with a tick. */
export function StepMark({ passed, number }: { passed: boolean; number?: number }): ReactElement {
  return (
    <span className="step-mark" data-passed={passed} aria-hidden="true">
      {passed ? (
        <svg viewBox="0 0 20 20">
          <path d="M5 10.5l3.5 3.5L15 7" />
        </svg>
      ) : (
        number
      )}
    </span>
  );
}
