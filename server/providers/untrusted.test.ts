import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectUntrusted, diskUsage, readTailUntrusted } from './untrusted';

let directory: string;
let server: Server;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lab-untrusted-'));
  server = createServer().listen(join(directory, 'real.sock'));
  await once(server, 'listening');
});
afterEach(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

test('connects to a socket, but not through a link', async () => {
  await symlink(join(directory, 'real.sock'), join(directory, 'link.sock'));
  (await connectUntrusted(join(directory, 'real.sock'))).destroy();
  await expect(connectUntrusted(join(directory, 'link.sock'))).rejects.toThrow();
});

test('does not connect to something that is no socket', async () => {
  await writeFile(join(directory, 'file'), '');
  await expect(connectUntrusted(join(directory, 'file'))).rejects.toThrow('not a socket');
  await expect(connectUntrusted(join(directory, 'absent'))).rejects.toThrow('ENOENT');
});

test('a socket without a listener is an error, not a wait', async () => {
  // SIGKILL, so that it does not remove its socket.
  const listenAndDie =
    'net.createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
  spawnSync(process.execPath, ['-e', listenAndDie, join(directory, 'dead.sock')]);
  await expect(connectUntrusted(join(directory, 'dead.sock'))).rejects.toThrow('ECONNREFUSED');
});

test('reads the end of a file, but no links and no pipes', async () => {
  await writeFile(join(directory, 'log'), 'first\nlast');
  await symlink('log', join(directory, 'link'));
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  await truncate(join(directory, 'log'), 10);
  expect(await readTailUntrusted(join(directory, 'log'), 4)).toBe('last');
  expect(await readTailUntrusted(join(directory, 'log'), 4000)).toBe('first\nlast');
  expect(await readTailUntrusted(join(directory, 'link'), 4)).toBe('');
  expect(await readTailUntrusted(join(directory, 'pipe'), 4)).toBe('');
  expect(await readTailUntrusted(join(directory, 'absent'), 4)).toBe('');
});

test('counts allocated bytes, and does not follow links', async () => {
  await writeFile(join(directory, 'data'), Buffer.alloc(100_000, 1));
  await writeFile(join(directory, 'sparse'), '');
  await truncate(join(directory, 'sparse'), 1e12);
  await symlink('/usr', join(directory, 'link'));
  const bytes = await diskUsage(directory);
  expect(bytes).toBeGreaterThanOrEqual(100_000);
  expect(bytes).toBeLessThan(1_000_000);
});
