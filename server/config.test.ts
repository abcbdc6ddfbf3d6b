import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readConfig } from './config';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lab-config-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const write = (text: string): string => {
  const file = join(dir, 'config.json');
  writeFileSync(file, text);
  return file;
};

test('the environment overrides the file, and the file overrides the defaults', () => {
  const file = write('{ "port": 4000, "idleTimeoutMs": 5 }');
  const config = readConfig(file, { LAB_PORT: '5000', LAB_HOST_MEMORY_MIB: '2048' });
  expect(config).toMatchObject({ port: 5000, idleTimeoutMs: 5, hostMemoryMiB: 2048, host: '127.0.0.1' });
});

test.each([
  ['{ "prot": 1 }', {}, /config\.json: .*prot/],
  ['{ "port": "x" }', {}, /config\.json: port/],
  ['{', {}, /config\.json/],
  ['[]', {}, /config\.json must contain one JSON object/],
  ['{}', { LAB_PORT: '99999' }, /LAB_PORT: port/],
  ['{}', { LAB_ACCELERATOR: 'xen' }, /LAB_ACCELERATOR: accelerator/],
  ['{ "publicOrigin": "lab.example" }', {}, /config\.json: publicOrigin/],
  ['{ "publicOrigin": "ftp://localhost" }', {}, /config\.json: publicOrigin/],
  ['{}', { LAB_PUBLIC_ORIGIN: 'http://lab.example' }, /LAB_PUBLIC_ORIGIN: publicOrigin: must be https:/],
  ['{}', { LAB_PUBLIC_ORIGIN: 'http://127.0.0.1.lab.example' }, /must be https:/],
])('%s with %o names what is wrong', (text, environment, message) => {
  expect(() => readConfig(write(text), environment as Record<string, string>)).toThrow(message);
});

test.each(['https://lab.example', 'http://localhost:3000', 'http://127.0.0.1:8080', 'http://[::1]:3000'])(
  'the public origin may be %s',
  (publicOrigin) => {
    expect(readConfig(write('{}'), { LAB_PUBLIC_ORIGIN: publicOrigin })).toMatchObject({ publicOrigin });
  },
);

test('a file named on the command line must exist', () => {
  expect(() => readConfig(join(dir, 'absent.json'), {})).toThrow(/absent\.json/);
});
