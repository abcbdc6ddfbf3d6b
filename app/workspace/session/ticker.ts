/** A worker that says something every so many milliseconds; see every.ts. */
addEventListener('message', ({ data }: MessageEvent<number>) => {
  setInterval(() => {
    postMessage(null);
  }, data);
});
