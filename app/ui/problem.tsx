import type { ReactElement } from 'react';
import type { WireError } from '../../server/protocol/errors';
import './problem.css';

/** Shows an error of the server: what failed, why, and what to try. */
export function Problem({ error }: { error: WireError }): ReactElement {
  return (
    <p className="problem" role="alert">
      <strong>{error.message}</strong>
      {error.hint !== undefined && <span> {error.hint}</span>}
    </p>
  );
}
