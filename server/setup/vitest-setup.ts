/** Tests that start the server's processes run what is in the sources now. */
import { buildServer } from './build-server.mjs';

export default async function setup(): Promise<void> {
  await buildServer();
}
