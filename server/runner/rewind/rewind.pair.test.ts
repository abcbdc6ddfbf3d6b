/** A pair goes back in time on real hosts: what ran runs, what was on disk is there, both hosts still know one another. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { labSetUpTimeoutMs } from '../../testing/lab';
import { hostNames, type HostName } from '../../protocol/hosts';
import { Pair } from '../pair';
import type { SavedPair } from './saved-pair';
import { on, Shell, workplace, type Workplace } from '../../testing/pair';

let place: Workplace;
let pair: Pair;
let shells: Record<HostName, Shell>;

const timed = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
  const startedAt = performance.now();
  const result = await work();
  console.log(`${what}: ${(performance.now() - startedAt).toFixed(0)} ms`);
  return result;
};

const both = (work: (host: HostName) => Promise<unknown>) => Promise.all(hostNames.map(work));
const attachBoth = () => both((host) => shells[host].attach());

beforeAll(async () => {
  place = await workplace();
  pair = await timed('clone', () => Pair.clone(place.directory, place.templateDir, () => undefined));
  shells = { source: new Shell(pair, 'source'), destination: new Shell(pair, 'destination') };
  await timed('prompts', attachBoth);
}, labSetUpTimeoutMs);

afterAll(async () => {
  for (const host of hostNames) shells[host].close();
  await pair.destroy();
  await place.remove();
});

/** Numbers that a process counts up ten times a second. */
const count = (host: HostName) => on(pair, host, 'cat /run/count').then(Number);

/** On a busy machine the command that sets the clock takes a second or two to arrive. */
const clockToleranceMs = 4000;

async function expectClockRight(host: HostName): Promise<void> {
  const before = Date.now();
  const guest = Number(await on(pair, host, 'date +%s%3N'));
  expect(guest).toBeGreaterThan(before - clockToleranceMs);
  expect(guest).toBeLessThan(Date.now() + clockToleranceMs);
}

async function expectWhole(): Promise<void> {
  await both(async (host) => {
    expect(await on(pair, host, 'getenforce')).toBe('Enforcing');
    expect(await on(pair, host, 'cat /proc/self/attr/current | tr -d "\\0"')).toBe(
      'unconfined_u:unconfined_r:unconfined_t:s0',
    );
    await expectClockRight(host);
  });
  expect(await on(pair, 'source', 'ssh destination hostname')).toBe('destination');
}

/** What the test sets up before it saves. */
async function expectAsSaved(countAtSave: Record<HostName, number>): Promise<void> {
  await both(async (host) => {
    const now = await count(host);
    expect(now).toBeGreaterThanOrEqual(countAtSave[host]);
    expect(now).toBeLessThan(countAtSave[host] + 200);
    await sleep(500);
    expect(await count(host)).toBeGreaterThan(now);
    expect(await on(pair, host, 'cat /root/file')).toBe('as saved');
    expect(await shells[host].type('echo "[$where]"')).toContain('[as saved]');
    // The job of the shell is its child still.
    expect(await shells[host].type('jobs')).toContain('Running');
  });
  // The connection between the hosts carries what is said after the rewind.
  await on(pair, 'source', 'echo back again > /run/say');
  await expect
    .poll(() => on(pair, 'destination', 'tail -n 1 /run/heard'), { timeout: 30_000 })
    .toBe('back again');
  await expectWhole();
}

test('a pair goes back to a saved state, again and again, and to its template', async () => {
  await on(pair, 'destination', 'setsid nc -l 10.77.0.2 4000 > /run/heard 2>&1 < /dev/null &');
  await on(
    pair,
    'source',
    'mkfifo /run/say; sleep 0.5; setsid bash -c "exec 3<>/run/say; nc 10.77.0.2 4000 <&3" > /dev/null 2>&1 &',
  );
  await both(async (host) => {
    await on(
      pair,
      host,
      'setsid bash -c "while :; do echo \\$((++n)) > /run/c; mv /run/c /run/count; sleep 0.1; done" > /dev/null 2>&1 < /dev/null &\nsleep 1; echo as saved > /root/file',
    );
    await shells[host].type('where="as saved"');
    await shells[host].type('sleep 10000 &');
  });
  await on(pair, 'source', 'echo before > /run/say');
  await expect.poll(() => on(pair, 'destination', 'cat /run/heard'), { timeout: 30_000 }).toBe('before');

  const countAtSave = { source: await count('source'), destination: await count('destination') };
  const saved = await timed('save', () => pair.save(join(place.directory, 'saved-1')));
  console.log(
    `saved: ${(saved.bytes / 2 ** 20).toFixed(1)} MiB, hosts stood still for ${saved.stoppedMs.toFixed(0)} ms`,
  );
  await both(async (host) => {
    expect(await count(host)).toBeGreaterThanOrEqual(countAtSave[host]);
    await expectClockRight(host);
  });

  const spoil = () =>
    both(async (host) => {
      await shells[host].type('where=elsewhere; kill %1; wait');
      await on(
        pair,
        host,
        'pkill -f /run/count; rm /root/file; rm -rf /usr/share/man; pkill nc; setenforce 0; sync',
      );
    });
  await spoil();
  let second: SavedPair | undefined;
  for (const round of [1, 2]) {
    await timed(`rewind ${round}`, () => pair.rewind(saved));
    await timed(`prompts ${round}`, attachBoth);
    await expectAsSaved(countAtSave);
    if (round === 1) second = await timed('second save', () => pair.save(join(place.directory, 'saved-2')));
    await spoil();
  }

  await timed('rewind to the template', () => pair.rewind(undefined));
  await attachBoth();
  await both(async (host) => {
    expect(await on(pair, host, 'ls /run/count /root/file 2>&1 | wc -l; ls /usr/share/man | wc -l')).toMatch(
      /^2\n[1-9]/,
    );
    expect(await shells[host].type('echo "[$where]"')).toContain('[]');
  });
  await expectWhole();

  // What the first saved state needs of the disks is still there without the second, and without both nothing is.
  await second?.remove();
  await pair.rewind(saved);
  await attachBoth();
  await expectAsSaved(countAtSave);
  await saved.remove();
  await expect(pair.rewind(saved)).rejects.toMatchObject({ code: 'no-saved-state' });
  await pair.rewind(undefined);
  expect(existsSync(join(place.directory, 'saved-1'))).toBe(false);
  expect(readdirSync(place.directory).filter((name) => name.endsWith('.qcow2'))).toHaveLength(2);
});

test('a save that fails leaves the pair as it was', async () => {
  await attachBoth();
  const before = await on(pair, 'source', 'cat /proc/uptime');
  // Fails when the directory is made, and when both hosts have been stopped.
  const blocked = join(place.directory, 'blocked');
  mkdirSync(join(blocked, 'source.pages'), { recursive: true });
  for (const into of ['/dev/null/saved', blocked]) {
    await expect(pair.save(into)).rejects.toMatchObject({ code: 'internal' });
  }
  expect(parseFloat(await on(pair, 'source', 'cat /proc/uptime'))).toBeGreaterThan(parseFloat(before));
  await expectWhole();
  expect(await shells.source.type('echo still "$HOSTNAME"')).toContain('still source');
});
