'use client';

import { useRouter } from 'next/navigation';
import { useEffect } from 'react';

/** In `npm run lessons -- dev`: reads the lesson anew when its author has saved it. The hosts and the place in the text stay. */
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
