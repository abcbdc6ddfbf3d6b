import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readConfig, type Config } from '../config';
import { root } from '../root';
import { diagnose, diagnosisSchema, formatDiagnosis, type Diagnosis } from './doctor';

let directory: string;
let config: Config;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lab-'));
  config = {
    ...readConfig(undefined, {}),
    cacheDir: join(directory, 'cache'),
    stateDir: join(directory, 'state'),
    port: 0,
    metricsPort: 0,
  };
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const check = (diagnosis: Diagnosis, id: string) =>
  diagnosis.findings.find((candidate) => candidate.id === id);

test('needs neither image nor template, and makes nothing', async () => {
  const diagnosis = await diagnose(config, root);
  expect(check(diagnosis, 'template')?.status).toBe('warning');
  expect(check(diagnosis, 'image')?.fix).toContain('setup');
  expect(diagnosisSchema.parse(JSON.parse(JSON.stringify(diagnosis)))).toEqual(diagnosis);
  await expect(rm(config.cacheDir)).rejects.toThrow('ENOENT');
});

test('a port in use is a problem with a fix', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const diagnosis = await diagnose({ ...config, port }, root);
  server.close();
  expect(diagnosis.canRun).toBe(false);
  expect(check(diagnosis, 'port')).toMatchObject({
    status: 'problem',
    fix: expect.stringContaining('LAB_PORT=') as string,
  });
});

test('a machine without room for one pair is a problem', async () => {
  const diagnosis = await diagnose({ ...config, hostMemoryMiB: 1e9 }, root);
  expect(diagnosis.machine.pairs).toBe(0);
  expect(check(diagnosis, 'capacity')).toMatchObject({ status: 'problem' });
});

test('a state directory whose sockets would not fit is a problem', async () => {
  const diagnosis = await diagnose({ ...config, stateDir: `/tmp/${'x'.repeat(100)}` }, root);
  expect(check(diagnosis, 'state')?.detail).toContain('too long');
});

test('public mode has a check of its own', async () => {
  expect(check(await diagnose(config, root), 'public')).toBeUndefined();
  const diagnosis = await diagnose({ ...config, publicMode: true, accelerator: 'tcg' }, root);
  expect(check(diagnosis, 'public')).toMatchObject({ status: 'problem' });
});

test('for people: one line per check, with the fix below', () => {
  const text = formatDiagnosis({
    version: 1,
    canRun: false,
    findings: [
      { id: 'node', title: 'Node', status: 'ok', detail: '20.9' },
      {
        id: 'tools',
        title: 'Tools',
        status: 'problem',
        detail: 'missing: socat',
        fix: 'apt-get install socat',
      },
    ],
    machine: {
      node: '20.9',
      qemu: null,
      accelerator: 'tcg',
      isolation: 'none',
      limits: [],
      pairs: 0,
      availableMemoryMiB: 0,
      freeDiskMiB: 0,
    },
  });
  expect(text.split('\n')).toEqual([
    '  ok      Node   20.9',
    '  PROBLEM Tools  missing: socat',
    '                 -> apt-get install socat',
    '',
    'The lab cannot run here until the problems are fixed.',
  ]);
});
