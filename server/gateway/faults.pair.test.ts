/** What breaks, breaks for one: its learner is told the truth and has a way on, and the neighbour notices nothing. */
import { mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostNames } from '../protocol/hosts';
import { sessionReplySchema } from '../protocol/http';
import { sandboxDir } from '../store/sandboxes';
import { Learner } from '../client/learner';
import { processesOf, processIdsOf, sandboxesOf } from '../testing/leftovers';
import { busyMs, labSetUpTimeoutMs, startTestLab, type TestLab } from '../testing/lab';

const lessonId = 'live-migration';
const timeoutMs = 180_000;
describe('beside a neighbour who goes on', () => {
  let lab: TestLab;
  let neighbour: Learner;
  let echoes = 0;

  const arrive = async (): Promise<{ learner: Learner; directory: string }> => {
    const learner = new Learner(lab.url);
    await learner.startSession(lessonId);
    const { sandboxId } = await learner.connect();
    for (const host of hostNames) learner.attach(host);
    for (const host of hostNames) await learner.untilPrompt(host, true, timeoutMs);
    return { learner, directory: sandboxDir(lab.stateDir, sandboxId) };
  };

  const neighbourNoticesNothing = async () => {
    const mark = `still-${echoes++}-here`;
    neighbour.type('destination', `echo ${mark.replace('still', '"still"')}\r`);
    await neighbour.until(() => neighbour.screen('destination').includes(mark), busyMs, 'echo');
    expect(neighbour.closeCode).toBeUndefined();
    expect(neighbour.latest('pair')?.pair.phase ?? 'ready').toBe('ready');
  };

  const nothingIsLeftOf = async (directory: string) => {
    const deadline = Date.now() + busyMs;
    while (processesOf(directory).length > 0 && Date.now() < deadline) await sleep(50);
    expect(processesOf(directory)).toEqual([]);
    expect(sandboxesOf(lab.stateDir).map((id) => sandboxDir(lab.stateDir, id))).not.toContain(directory);
  };

  beforeAll(async () => {
    lab = await startTestLab();
    neighbour = (await arrive()).learner;
  }, labSetUpTimeoutMs);
  afterAll(async () => {
    await neighbourNoticesNothing();
    await lab.stop();
    expect(sandboxesOf(lab.stateDir)).toEqual([]);
  });

  test('a machine is killed', async () => {
    const { learner, directory } = await arrive();
    const [machine = 0] = processIdsOf(directory, 'qemu-system-x86_64');
    process.kill(machine, 'SIGKILL');
    const { pair } = await learner.waitFor('pair', (message) => message.pair.phase === 'failed', timeoutMs);
    expect(pair.error).toMatchObject({ code: 'lost', hint: expect.stringContaining('new pair') as string });
    await neighbourNoticesNothing();
    await learner.request('DELETE', '/session');
    await nothingIsLeftOf(directory);
  });

  test('a kernel panics', async () => {
    const { learner, directory } = await arrive();
    learner.type('source', 'echo c >/proc/sysrq-trigger\r');
    const { pair } = await learner.waitFor('pair', (message) => message.pair.phase === 'failed', timeoutMs);
    expect(pair.error?.message).toMatch(/kernel of source has stopped.*sysrq triggered crash/);
    await neighbourNoticesNothing();
    await learner.request('DELETE', '/session');
    await nothingIsLeftOf(directory);
  });

  test('a runner stops answering, and its learner asks for a new pair', async () => {
    const { learner, directory } = await arrive();
    const [runner = 0] = processIdsOf(directory, process.execPath);
    process.kill(runner, 'SIGSTOP');
    await learner.request('DELETE', '/session');
    await nothingIsLeftOf(directory);
    await neighbourNoticesNothing();
    expect((await arrive()).directory).not.toBe(directory);
  });
});

test('after a power cut nothing is left, and learners are told', async () => {
  const lab = await startTestLab({ poolSize: 1 });
  try {
    const learner = new Learner(lab.url);
    await learner.startSession(lessonId);
    const { sandboxId } = await learner.connect();
    for (const program of ['bwrap', process.execPath, 'qemu-system-x86_64', 'ssh', 'socat']) {
      // Some have ended with those that were killed before them.
      await execa('kill', ['-KILL', ...processIdsOf(lab.stateDir, program).map(String)], { reject: false });
    }
    await lab.restartGateway();
    expect(sandboxesOf(lab.stateDir)).not.toContain(sandboxId);
    const reply = sessionReplySchema.parse(await learner.request('GET', '/session'));
    expect(reply).toEqual({ session: null, queue: null });
    await expect(learner.request('POST', '/session/ticket')).rejects.toThrow('killed or crashed');
    await learner.startSession(lessonId);
    await learner.connect();
    await learner.untilPrompt('source', true, timeoutMs);
  } finally {
    await lab.stop();
    expect(processesOf(lab.stateDir)).toEqual([]);
  }
});

test('the disk of the server fills up under pairs that run', async () => {
  const mount = await mkdtemp(join(tmpdir(), 'lab-'));
  await execa('mount', ['-t', 'tmpfs', '-o', 'size=384m', 'lab-test', mount]);
  try {
    const lab = await startTestLab({ stateDir: join(mount, 's') });
    try {
      const learner = new Learner(lab.url);
      await learner.startSession(lessonId);
      await learner.connect();
      for (const host of hostNames) learner.attach(host);
      for (const host of hostNames) await learner.untilPrompt(host, true, timeoutMs);

      const { bavail, bsize } = await statfs(mount);
      await writeFile(join(mount, 'filler'), Buffer.alloc(bavail * bsize - 4 * 1024 * 1024));
      learner.type('source', 'dd if=/dev/zero of=/root/much bs=1M count=64 oflag=direct\r');
      await learner.until(
        () => learner.screen('source').includes('Input/output error'),
        timeoutMs,
        'I/O error',
      );
      learner.type('destination', 'echo still-"here"\r');
      await learner.until(() => learner.screen('destination').includes('still-here'), timeoutMs, 'echo');
      expect(learner.latest('pair')?.pair.phase ?? 'ready').toBe('ready');

      const late = new Learner(lab.url);
      await expect(late.startSession(lessonId)).rejects.toMatchObject({
        code: 'disk-full',
        hint: expect.stringContaining('the operator of this server') as string,
      });
      await rm(join(mount, 'filler'));
      await learner.request('DELETE', '/session');
      await late.startSession(lessonId);
      await late.connect();
      await late.untilPrompt('source', true, timeoutMs);
    } finally {
      await lab.stop();
    }
  } finally {
    await execa('umount', ['--lazy', mount]);
    await rmdir(mount);
  }
});
