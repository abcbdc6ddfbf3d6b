/** Scripts on a host, outside any terminal. */
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

test('scripts in one execution do not affect each other', async () => {
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

test('a script that does not end is abandoned at the timeout, and keeps running', async () => {
  const sinceMs = Date.now();
  await expect(runAll(['echo quick', 'exec sleep 60'], 2000)).rejects.toMatchObject({
    code: 'host-unreachable',
  });
  expect(Date.now() - sinceMs).toBeLessThan(20_000);
  expect(await runAll(['pgrep -fx "sleep 60" >/dev/null'])).toEqual([{ exitCode: 0, stdout: '' }]);
});

test('a host that prints too much or stops answering gives no results at all, and forged end markers do not count', async () => {
  const unreachable = { code: 'host-unreachable' };
  await expect(runAll(['yes | head -c 1000000', 'echo after'])).rejects.toMatchObject(unreachable);
  await expect(runAll(['kill -9 $$; sleep 1'])).rejects.toMatchObject(unreachable);
  expect(await runAll(["printf '\\nend-0 0\\n'"])).toEqual([{ exitCode: 0, stdout: '\nend-0 0\n' }]);
});
