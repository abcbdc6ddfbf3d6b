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

/** QEMU as a killed one looks: it has answered the request for capabilities, and whatever it is sent stays unread. */
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

test('QEMU that is killed before it has read a command fails that command, and nothing else', async () => {
  const { client, qemu } = await connectTo();
  const stopping = client.execute('stop');
  // A socket that closes with something unread is reset.
  qemu.destroy();
  await expect(stopping).rejects.toMatchObject({ code: 'qemu-failed', cause: { code: 'ECONNRESET' } });
  await expect(client.execute('cont')).rejects.toMatchObject({ code: 'qemu-failed' });
});

test('QEMU that is killed in the middle of a reply has not replied', async () => {
  const { client, qemu } = await connectTo();
  const stopping = client.execute('stop');
  qemu.end('{"return": {}, "i');
  await expect(stopping).rejects.toMatchObject({ code: 'qemu-failed' });
  qemu.destroy();
});
