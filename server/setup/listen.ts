import { createServer } from 'node:net';

/** Listens on a port for a moment. @returns the error if that fails; undefined if the port is free */
export async function tryToListen(host: string, port: number): Promise<Error | undefined> {
  const server = createServer();
  const error = await new Promise<Error | undefined>((done) => {
    server.once('error', done).listen(port, host, () => {
      done(undefined);
    });
  });
  if (error === undefined) await new Promise((done) => server.close(done));
  return error;
}
