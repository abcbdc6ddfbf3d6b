'use client';

import type { ReactElement } from 'react';
import { CopyButton } from './copy-button';
import './link-field.css';

/** Shows a link to share. Focusing the field selects the link, and a button copies it. */
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
