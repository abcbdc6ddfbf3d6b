import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { leaseDirectory, sessionInfo, type Lease } from './leases';

const lease: Lease = {
  id: 'session-1',
  sandboxId: 'sandbox1',
  ownerHash: 'owner',
  address: '192.0.2.1',
  lessonId: 'lesson',
  accelerator: 'tcg',
  createdAtMs: 1,
  endsAtMs: 2,
  extensionsLeft: 3,
  grant: 'grant',
};

let stateDir: string;

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'leases-'));
});
afterEach(async () => {
  await rm(stateDir, { recursive: true });
});

async function put(name: string, text: string): Promise<void> {
  await mkdir(join(stateDir, 'leases'), { recursive: true });
  await writeFile(join(stateDir, 'leases', name), text);
}

test('a lease is kept under the id of its session, also when its sandbox changes', async () => {
  const store = leaseDirectory(stateDir);
  expect(await store.list()).toEqual([]);
  await store.write(lease);
  await store.write({ ...lease, sandboxId: null });
  await store.write({ ...lease, sandboxId: 'sandbox2' });
  expect(await readdir(join(stateDir, 'leases'))).toEqual(['session-1.json']);
  expect(await store.list()).toEqual([{ ...lease, sandboxId: 'sandbox2' }]);
  await store.remove(lease.id);
  await store.remove(lease.id);
  expect(await store.list()).toEqual([]);
});

test('a lease of an earlier version, named after its sandbox, keeps that name and says its sandbox', async () => {
  const old = { ...lease, id: 'k3x9a', sandboxId: undefined, grant: undefined };
  await put('k3x9a.json', JSON.stringify(old));
  expect(await leaseDirectory(stateDir).list()).toEqual([
    { ...lease, id: 'k3x9a', sandboxId: 'k3x9a', grant: null },
  ]);
});

test.each([
  ['broken.json', '{'],
  ['other.json', '{"id":"other"}'],
  ['somebody-else.json', JSON.stringify(lease)],
  ['.session-1.json.tmp', JSON.stringify(lease)],
])('%s, which is no lease, is removed', async (name, text) => {
  await put(name, text);
  expect(await leaseDirectory(stateDir).list()).toEqual([]);
  expect(await readdir(join(stateDir, 'leases'))).toEqual([]);
});

test('a learner sees neither sandbox, address, grant nor cookie of a lease', () => {
  expect(Object.keys(sessionInfo(lease)).toSorted()).toEqual([
    'accelerator',
    'createdAtMs',
    'endsAtMs',
    'extensionsLeft',
    'id',
    'lessonId',
  ]);
});
