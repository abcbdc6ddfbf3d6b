'use client';

import { useSyncExternalStore } from 'react';

/** Below this there is no room for a column of prose beside 80 columns of terminal; the stylesheets have the same number. */
const narrowQuery = '(max-width: 859px)';

/** Undefined on the server and for the first paint: neither the window's width nor the stored layout is known yet. */
export function usePageLayout(): 'columns' | 'tabs' | undefined {
  return useSyncExternalStore(
    (changed) => {
      const query = window.matchMedia(narrowQuery);
      query.addEventListener('change', changed);
      return () => {
        query.removeEventListener('change', changed);
      };
    },
    () => (window.matchMedia(narrowQuery).matches ? 'tabs' : 'columns'),
    () => undefined,
  );
}
