import type { ReactElement } from 'react';
import type { WireError } from '../../server/protocol/errors';
import './problem.css';

/** What failed and what to try, as the server said it. */
export function Problem({ error }: { error: WireError }): ReactElement {
  return (
    <p className="problem" role="alert">
      <strong>{error.message}</strong>
      {error.hint !== undefined && <span> {error.hint}</span>}
    </p>
  );
}
