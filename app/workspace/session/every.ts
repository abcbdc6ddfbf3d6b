/**
 * Calls back every `ms` milliseconds until the returned function is called, in a tab in the background as well: there a
 * browser lets a page's own timers run once a minute, but not a worker's.
 */
export function everyInBackground(ms: number, callback: () => void): () => void {
  const worker = new Worker(new URL('./ticker.ts', import.meta.url));
  worker.onmessage = callback;
  worker.postMessage(ms);
  return () => {
    worker.terminate();
  };
}
