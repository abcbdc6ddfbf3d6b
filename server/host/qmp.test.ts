import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { QmpClient } from './qmp';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lab-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** Behaves like a killed QEMU: it has answered the capabilities request, and reads nothing that follows. */
async function connectTo(): Promise<{ client: QmpClient; qemu: Socket }> {
  const path = join(directory, 'qmp');
  const server = createServer({ pauseOnConnect: true }).listen(path);
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const connecting = QmpClient.connect(path);
  const [qemu] = await accepted;
  server.close();
  qemu.write('{"return": {}, "id": 1}\n');
  return { client: await connecting, qemu };
}

test('when QEMU is killed before it reads a command, only that command fails', async () => {
  const { client, qemu } = await connectTo();
  const stopping = client.execute('stop');
  // The kernel resets a socket that closes with unread data.
  qemu.destroy();
  await expect(stopping).rejects.toMatchObject({ code: 'qemu-failed', cause: { code: 'ECONNRESET' } });
  await expect(client.execute('cont')).rejects.toMatchObject({ code: 'qemu-failed' });
});

test('a reply that is cut off because QEMU is killed does not count', async () => {
  const { client, qemu } = await connectTo();
  const stopping = client.execute('stop');
  qemu.end('{"return": {}, "i');
  await expect(stopping).rejects.toMatchObject({ code: 'qemu-failed' });
  qemu.destroy();
});
