/** Scripts on a host, outside of any terminal. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { labSetUpTimeoutMs } from '../testing/lab';
import { Pair } from '../runner/pair';
import { workplace, type Workplace } from '../testing/pair';

let place: Workplace;
let pair: Pair;

beforeAll(async () => {
  place = await workplace();
  pair = await Pair.clone(place.directory, place.templateDir, () => undefined);
}, labSetUpTimeoutMs);

afterAll(async () => {
  await pair.destroy();
  await place.remove();
});

const runAll = (scripts: string[], timeoutMs = 60_000) =>
  pair.channel('source').runAll(scripts, { timeoutMs });

test('several scripts in one execution have nothing to do with one another', async () => {
  const results = await runAll([
    "word='it''s'; printf '%s' \"$word\"; exit 3",
    'echo "${word-unset} in $PWD"; cd /tmp; exec echo last',
    'pwd; echo to nobody >&2',
    '# a comment alone',
    'echo open; if true',
    'cat; set -e; false; echo not reached',
    'echo "two\n\nlines"; # and no end of a line after this one',
  ]);
  expect(results).toEqual([
    { exitCode: 3, stdout: 'its' },
    { exitCode: 0, stdout: 'unset in /root\nlast\n' },
    { exitCode: 0, stdout: '/root\n' },
    { exitCode: 0, stdout: '' },
    { exitCode: 2, stdout: '' },
    { exitCode: 1, stdout: '' },
    { exitCode: 0, stdout: 'two\n\nlines\n' },
  ]);
});

test('a script that goes on is given up in time, though it goes on', async () => {
  const sinceMs = Date.now();
  await expect(runAll(['echo quick', 'exec sleep 60'], 2000)).rejects.toMatchObject({
    code: 'host-unreachable',
  });
  expect(Date.now() - sinceMs).toBeLessThan(20_000);
  expect(await runAll(['pgrep -fx "sleep 60" >/dev/null'])).toEqual([{ exitCode: 0, stdout: '' }]);
});

test('a host that says too much or breaks off gives no results at all, and forged ends are none', async () => {
  const unreachable = { code: 'host-unreachable' };
  await expect(runAll(['yes | head -c 1000000', 'echo after'])).rejects.toMatchObject(unreachable);
  await expect(runAll(['kill -9 $$; sleep 1'])).rejects.toMatchObject(unreachable);
  expect(await runAll(["printf '\\nend-0 0\\n'"])).toEqual([{ exitCode: 0, stdout: '\nend-0 0\n' }]);
});
