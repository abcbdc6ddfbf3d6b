/** Calls back every `ms` milliseconds. Returns a function that stops it. */
export type Every = (ms: number, callback: () => void) => () => void;

/** Works in a background tab too: browsers slow down a page's timers to once a minute there, but not a worker's. */
export function everyInBackground(ms: number, callback: () => void): () => void {
  const worker = new Worker(new URL('./ticker.ts', import.meta.url));
  worker.onmessage = callback;
  worker.postMessage(ms);
  return () => {
    worker.terminate();
  };
}
