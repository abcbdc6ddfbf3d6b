import { useEffect, useState } from 'react';

/** The recorded steps of a lesson in order. `casts` has the file name of each terminal's recording. */
export type Casts = readonly {
  stepId: string;
  title: string;
  casts: Readonly<Record<string, string>>;
}[];

export const castAddress = (lessonId: string, file: string): string =>
  `/lessons/${lessonId}/recordings/${file}`;

/** Loads the list of a lesson's recordings; empty until it is loaded, and for a lesson without recordings. */
export function useCasts(lessonId: string): Casts {
  const [casts, setCasts] = useState<Casts>([]);
  useEffect(() => {
    const gone = new AbortController();
    fetch(castAddress(lessonId, 'manifest.json'), { signal: gone.signal })
      .then((response) => (response.ok ? (response.json() as Promise<Casts>) : []))
      .then(setCasts)
      // A missing recording is no error: the lesson works without.
      .catch(() => undefined);
    return () => {
      gone.abort();
    };
  }, [lessonId]);
  return casts;
}
