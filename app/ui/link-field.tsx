'use client';

import type { ReactElement } from 'react';
import { CopyButton } from './copy-button';
import './link-field.css';

/** A link to be handed to somebody: selected when it is focused, and with a button that copies it. */
export function LinkField({ link }: { link: string }): ReactElement {
  return (
    <div className="share-link">
      <input
        type="text"
        readOnly
        value={link}
        aria-label="Link"
        onFocus={(event) => {
          event.target.select();
        }}
      />
      <CopyButton text={link} what="the link" />
    </div>
  );
}
