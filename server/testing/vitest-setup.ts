/**
 * Bundles the current sources and makes the lab before the tests run. Otherwise two test files that find the site stale at the same
 * time would both build it.
 */
import { execa } from 'execa';
import { root } from '../root';
import { buildServer } from '../setup/build-server.mjs';

export default async function setup(): Promise<void> {
  await buildServer({ tools: true });
  await execa(process.execPath, ['dist/lab.js', 'setup'], {
    cwd: root,
    stdout: 'inherit',
    stderr: 'inherit',
  });
}
