/** What a pair knows opens no other pair, and nothing of the template's that opens a door is left in use. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { labSetUpTimeoutMs } from '../testing/lab';
import { hostNames, type HostName } from '../protocol/hosts';
import { readTemplate } from '../template/template';
import { Pair } from './pair';
import { on, workplace, type Workplace } from '../testing/pair';

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

const word = (text: string, index: number) => text.split(/\s+/)[index] ?? '';

test('both hosts have keys and ids that are neither the template’s nor each other’s', async () => {
  const { imageDir } = await readTemplate(place.templateDir);
  const imageHostKey = word(await readFile(join(imageDir, 'known_hosts'), 'utf8'), 2);
  const scan = async (host: HostName, address: string) =>
    word(await on(pair, host, `ssh-keyscan -q -t ed25519 ${address} 2>/dev/null || true`), 2);
  // The sshd on the link has just been told to read its key again, and does not listen for a moment.
  const keys = async () => [await scan('destination', '10.77.0.1'), await scan('source', '10.77.0.2'), ''];
  await expect.poll(async () => new Set([imageHostKey, ...(await keys())]).size, { timeout: 30_000 }).toBe(4);
  const ids = await Promise.all(hostNames.map((host) => on(pair, host, 'cat /etc/machine-id')));
  expect(new Set(ids).size).toBe(2);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  for (const host of hostNames) {
    // Files keep their labels and modes, and the journal is found under the new id.
    expect(await on(pair, host, 'stat -c "%a %C" /etc/ssh/ssh_host_ed25519_key')).toMatch(
      /^600 .*:sshd_key_t:s0$/,
    );
    expect(await on(pair, host, 'journalctl --quiet --no-pager -n 1 | wc -l')).toBe('1');
    expect(await on(pair, host, 'matchpathcon -V /etc/machine-id /root/.ssh/authorized_keys')).not.toContain(
      'should',
    );
  }
});

test('the template’s login key opens neither host; the pair’s does', async () => {
  const { imageDir } = await readTemplate(place.templateDir);
  const imageKey = await readFile(join(imageDir, 'id_ed25519'), 'utf8');
  await on(pair, 'source', `umask 077; cat > /root/template-key <<'END'\n${imageKey}END`);
  const login = (options: string) =>
    on(pair, 'source', `ssh -o BatchMode=yes ${options} destination hostname 2>&1 || true`);
  expect(await login('-o IdentitiesOnly=yes -F none -i /root/template-key')).toContain('Permission denied');
  expect(await login('')).toBe('destination');
});
