'use client';

import { useEffect } from 'react';
import { useLabSession, useSessionState } from './context';
import { isTurnUnseen, queueOf } from './selectors';

/** Shows the queue position in the tab's title, for learners who wait in another tab. */
export function usePageTitle(): void {
  const session = useLabSession();
  const position = useSessionState(queueOf)?.position;
  const turnUnseen = useSessionState(isTurnUnseen);
  const news = turnUnseen ? 'Your turn' : position === undefined ? null : `Number ${position} in the queue`;
  useEffect(() => {
    if (news === null) return;
    const own = document.title;
    document.title = `${news} · ${own}`;
    return () => {
      document.title = own;
    };
  }, [news]);
  useEffect(() => {
    if (!turnUnseen) return;
    const onChange = (): void => {
      if (document.visibilityState === 'visible') session.acknowledgeTurn();
    };
    onChange();
    document.addEventListener('visibilitychange', onChange);
    return () => {
      document.removeEventListener('visibilitychange', onChange);
    };
  }, [turnUnseen, session]);
}
