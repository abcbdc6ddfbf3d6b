/** A learner's shell on a host behaves as on any terminal, though dtach holds it. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { labSetUpTimeoutMs } from '../testing/lab';
import { Pair } from './pair';
import { on, Shell, until, workplace, type Workplace } from '../testing/pair';

let place: Workplace;
let pair: Pair;
let shell: Shell;

beforeAll(async () => {
  place = await workplace();
  pair = await Pair.clone(place.directory, place.templateDir, () => undefined);
  shell = new Shell(pair, 'source', 1024 * 1024);
}, labSetUpTimeoutMs);

beforeEach(async () => {
  await shell.attach();
});

afterAll(async () => {
  shell.close();
  await pair.destroy();
  await place.remove();
});

test('it is a login shell with the label, home and terminal of one', async () => {
  expect(await shell.type('id -Z')).toContain('unconfined_u:unconfined_r:unconfined_t:s0\r\n');
  expect(await shell.type('shopt login_shell; echo "$PWD $TERM $LANG $-"')).toMatch(
    /login_shell\s+on\r\n\/root xterm-256color C.UTF-8 \w*i\w*m/,
  );
});

test('the window’s size and its changes arrive', async () => {
  expect(await shell.type('stty size')).toContain('30 100\r\n');
  shell.resize(77, 22);
  await shell.type('sleep 1');
  expect(await shell.type('stty size; echo "$COLUMNS"')).toContain('22 77\r\n77\r\n');
  shell.resize(100, 30);
});

test('bytes are not changed', async () => {
  await on(
    pair,
    'source',
    'for i in {0..255}; do printf "\\\\x$(printf %02x $i)"; done > /root/all; for i in {1..400}; do cat /root/all; done > /root/bytes',
  );
  await shell.type('stty -opost');
  const from = shell.shown.length;
  await shell.type('cat /root/bytes');
  const all = Buffer.from(Array.from({ length: 256 * 400 }, (_, index) => index % 256));
  expect(shell.shown.subarray(from).includes(all)).toBe(true);
  await shell.type('stty opost');
});

test('Ctrl-C, job control and the exit code of a command are the shell’s own', async () => {
  let from = shell.shown.length;
  // Each says that it runs: a shell that is just starting a program swallows what was meant for that.
  shell.keys('sh -c "echo up; exec sleep 1000"\r');
  await shell.untilShown('up\r\n', from);
  shell.keys('\x03');
  await shell.untilShown(/133;D;130[^]*133;B/, from);
  from = shell.shown.length;
  shell.keys('sh -c "echo up; exec sleep 1001"\r');
  await shell.untilShown('up\r\n', from);
  shell.keys('\x1a');
  await shell.untilShown(/Stopped[^]*133;B/, from);
  expect(await shell.type('bg; jobs; kill %1')).toContain('Running');
});

test('a full-screen program draws itself again for whoever attaches', async () => {
  const from = shell.shown.length;
  shell.keys('vim /etc/hosts\r');
  await shell.untilShown('rhel08', from);
  // What is typed into vim while it still starts may be lost, dtach's Ctrl-L among it.
  await shell.untilQuiet(1500);
  shell.close();
  const again = shell.shown.length;
  void shell.attach().catch(() => undefined);
  await shell.untilShown('rhel08', again);
  shell.keys('\x1b:q!\r');
  await shell.prompt();
  expect(await shell.type('echo $((6 * 7))')).toContain('42\r\n');
});

test('variables survive a lost connection; exit ends the terminal’s program, and then there is a new shell', async () => {
  await shell.type('kept=yes');
  pair.channel('source').disconnect();
  await pair.channel('source').open(60_000);
  await shell.attach();
  expect(await shell.type('echo "[$kept]"')).toContain('[yes]');
  const { exits } = shell;
  shell.keys('exit\r');
  await until(() => shell.exits > exits, 30_000);
  await shell.attach();
  expect(await shell.type('echo "[$kept]"')).toContain('[]');
});
