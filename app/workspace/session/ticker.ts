/** A worker that posts a message at an interval; see every.ts. */
addEventListener('message', ({ data }: MessageEvent<number>) => {
  setInterval(() => {
    postMessage(null);
  }, data);
});
