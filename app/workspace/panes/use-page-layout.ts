'use client';

import { useSyncExternalStore } from 'react';

/** Below this width, prose and a terminal of 80 columns do not fit side by side. The stylesheets use the same number. */
const narrowQuery = '(max-width: 859px)';

/** Undefined on the server and for the first paint, when window width and stored layout are unknown. */
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
