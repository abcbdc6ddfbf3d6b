'use client';

import { useRouter } from 'next/navigation';
import { useEffect } from 'react';

/** In `npm run lessons -- dev`: reloads the lesson when its author saves it. The hosts and the scroll position stay. */
export function ReloadOnSave(): null {
  const router = useRouter();
  useEffect(() => {
    const changes = new EventSource('/changes');
    changes.addEventListener('message', () => {
      router.refresh();
    });
    return () => {
      changes.close();
    };
  }, [router]);
  return null;
}
