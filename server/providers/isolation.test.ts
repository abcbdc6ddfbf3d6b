import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '../config';
import { Isolation, type SandboxFiles } from './isolation';

const config = readConfig(undefined, {});
const none = await Isolation.probe({ ...config, isolation: 'none' });
const isolation = await Isolation.probe(config);

test('isolation that is switched off confines nothing, and reports it', () => {
  expect(none.report).toMatchObject({ level: 'none', namespaces: false, ownUser: false, limits: [] });
  expect(none.report.missing).toHaveLength(1);
  const files = { readOnly: [], run: '/tmp', overlaid: [] };
  const command = none.confine(['true'], files, { uid: undefined, cgroups: [] }, 'tcg');
  expect(command[0]).toBe('prlimit');
  expect(command).not.toContain('bwrap');
});

test('required isolation that is missing is an error that names every missing part', async () => {
  const required = Object.assign(await Isolation.probe({ ...config, isolation: 'full' }), {
    report: {
      ...none.report,
      missing: [
        { what: 'No walls.', fix: 'build' },
        { what: 'No roof.', fix: 'wait' },
      ],
    },
  });
  expect(() => {
    required.requireConfigured();
  }).toThrow(/No walls.*\n.*No roof/);
});

describe.skipIf(!isolation.report.namespaces)('a program in a sandbox', () => {
  const uid = isolation.report.ownUser ? config.sessionUidBase + 999 : undefined;
  let directory: string;
  let files: SandboxFiles;
  const run = (...command: string[]) => {
    const [program = '', ...rest] = isolation.confine(command, files, { uid, cgroups: [] }, 'tcg');
    return execFileSync(program, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  };

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'lab-isolation-'));
    mkdirSync(join(directory, 'run'));
    writeFileSync(join(directory, 'passwd'), `lab:x:${uid ?? 0}:0::/tmp:/bin/sh\n`);
    writeFileSync(join(directory, 'secret'), 'of the machine');
    if (uid !== undefined) chownSync(join(directory, 'run'), uid, uid);
    files = {
      readOnly: [],
      run: join(directory, 'run'),
      overlaid: [[join(directory, 'passwd'), '/etc/passwd']],
    };
  });
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });

  test('has its own user, no capability, and no way to gain one', () => {
    if (uid !== undefined) expect(run('id', '-u').trim()).toBe(String(uid));
    const status = run('cat', '/proc/self/status');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(status).toMatch(`${set}:\t0000000000000000`);
    expect(status).toMatch('NoNewPrivs:\t1');
  });

  test('sees only its own processes and its own loopback', () => {
    expect(run('sh', '-c', 'echo /proc/[0-9]*').split(' ').length).toBeLessThan(5);
    expect(run('cat', '/proc/net/dev').match(/^ *\w+:/gm)).toEqual(['    lo:']);
    expect(run('cat', '/proc/net/route').trim().split('\n')).toHaveLength(1);
  });

  test('can write only to its own directory', () => {
    run('sh', '-c', `echo mine >${files.run}/file && echo mine >/tmp/file`);
    for (const path of ['/', '/etc', '/usr', '/dev', directory]) {
      expect(run('sh', '-c', `touch ${path}/file 2>/dev/null || echo refused`).trim()).toBe('refused');
    }
  });

  test('cannot write a file over its limit, and no core', () => {
    expect(run('sh', '-c', 'ulimit -c').trim()).toBe('0');
    expect(Number(run('sh', '-c', 'ulimit -f'))).toBe(config.hostDiskMiB * 2048);
  });

  test('sees only the files that it was given', () => {
    expect(run('ls', directory).trim()).toBe('run');
    expect(run('sh', '-c', 'ls -d /home /root /var /boot /sys /etc 2>/dev/null || :').trim()).toBe('/etc');
  });
});
