import { useEffect, useState } from 'react';

/** The recorded steps of a lesson, in its order, each with its casts' file names by terminal. */
export type Casts = readonly {
  stepId: string;
  title: string;
  casts: Readonly<Record<string, string>>;
}[];

export const castAddress = (lessonId: string, file: string): string =>
  `/lessons/${lessonId}/recordings/${file}`;

/** What there is to play of a lesson; nothing until that is known, and when there is nothing. */
export function useCasts(lessonId: string): Casts {
  const [casts, setCasts] = useState<Casts>([]);
  useEffect(() => {
    const gone = new AbortController();
    fetch(castAddress(lessonId, 'manifest.json'), { signal: gone.signal })
      .then((response) => (response.ok ? (response.json() as Promise<Casts>) : []))
      .then(setCasts)
      // No recording is no failure: the lesson can be read and done.
      .catch(() => undefined);
    return () => {
      gone.abort();
    };
  }, [lessonId]);
  return casts;
}
