/** Calls back again and again until the returned function is called. */
export type Every = (ms: number, callback: () => void) => () => void;

/** As {@link Every} says, in a background tab as well: there a browser runs a page's own timers once a minute, but not a worker's. */
export function everyInBackground(ms: number, callback: () => void): () => void {
  const worker = new Worker(new URL('./ticker.ts', import.meta.url));
  worker.onmessage = callback;
  worker.postMessage(ms);
  return () => {
    worker.terminate();
  };
}
