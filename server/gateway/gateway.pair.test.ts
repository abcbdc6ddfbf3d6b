/** One pair through the front door: what a learner can do, what a stranger cannot, and what is left when things are killed. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeFrame, frameHeaderBytes, maxInputBytes } from '../protocol/frames';
import { ticketReplySchema } from '../protocol/http';
import { closeCodes } from '../protocol/messages';
import { Learner } from '../client/learner';
import { processesOf, processIdsOf, sandboxesOf } from '../testing/leftovers';
import { busyMs, labSetUpTimeoutMs, startTestLab, type TestLab } from '../testing/lab';

const lessonId = 'live-migration';
/** Under TCG on a busy machine; on an idle one it takes a few seconds. */
const pairTimeoutMs = 180_000;
const commandTimeoutMs = 60_000;

async function eventually(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (!condition() && Date.now() < deadline) await sleep(50);
  return condition();
}

async function learnerAtPrompt(lab: TestLab): Promise<{ learner: Learner; sessionId: string }> {
  const learner = new Learner(lab.url);
  const { id } = await learner.startSession(lessonId);
  await learner.connect();
  learner.attach('source');
  learner.attach('destination');
  for (const terminal of ['source', 'destination']) {
    await learner.waitFor('prompt', (prompt) => prompt.terminal === terminal && prompt.idle, pairTimeoutMs);
  }
  return { learner, sessionId: id };
}

describe('a session', () => {
  let lab: TestLab;
  let learner: Learner;
  let sessionId: string;

  beforeAll(async () => {
    lab = await startTestLab();
    ({ learner, sessionId } = await learnerAtPrompt(lab));
  }, labSetUpTimeoutMs);
  afterAll(async () => {
    await lab.stop();
  });

  test('has two hosts that enforce SELinux, reach one another and have the time of day', async () => {
    learner.type('source', 'clear; getenforce; ssh rhel08 "hostname; getenforce"; date +now=%s\r');
    await learner.until(() => /now=\d+/.test(learner.screen('source')), commandTimeoutMs, 'answer');
    const screen = learner.screen('source');
    expect(screen).toMatch(/Enforcing\r\ndestination\r\nEnforcing/);
    const now = Number(/now=(\d+)/.exec(screen)?.[1]);
    expect(Math.abs(now * 1000 - Date.now())).toBeLessThan(busyMs);
  });

  test('has no way out: no default route, and one network with the other host on it', async () => {
    learner.type(
      'source',
      'clear; ip -4 -brief address; ip route show default | wc -l; echo end-of-"routes"\r',
    );
    await learner.until(
      () => learner.screen('source').includes('end-of-routes'),
      commandTimeoutMs,
      'end of the routes',
    );
    expect(stripVTControlCharacters(learner.screen('source'))).toMatch(
      /lo +\S+ +127\.0\.0\.1\/8 *\r\neth0 +\S+ +10\.77\.0\.1\/24 *\r\n0\r\nend-of-routes/,
    );
  });

  test('is the same one in a second tab', async () => {
    const again = await learner.startSession(lessonId);
    expect(again.id).toBe(sessionId);
  });

  test('runs a click once, however often it arrives', async () => {
    const runId = randomUUID();
    const run = {
      type: 'run',
      runId,
      stepId: 'carry-it-over',
      block: 0,
      terminal: 'source',
      whenBusy: 'refuse',
    } as const;
    await learner.untilPrompt('source', true, commandTimeoutMs);
    for (let sent = 0; sent < 3; sent++) learner.send(run);
    const results = () =>
      learner.messages.filter((message) => message.type === 'run' && message.run.runId === runId);
    // It is typed, begins and ends; besides, each request that came again is answered.
    const ended = () =>
      results().some((message) => message.type === 'run' && message.run.command.state === 'done');
    await learner.until(() => results().length >= 5 && ended(), commandTimeoutMs, 'answers and the end');
    expect(learner.latest('run', ({ run: { runId: id } }) => id === runId)?.run.command).toMatchObject({
      state: 'done',
      // That of scp when it fails.
      exitCode: 255,
    });
    // There is no checkpoint yet, so the command fails, once.
    const failures = () => learner.screen('source').split('No such file').length - 1;
    await learner.until(() => failures() === 1, commandTimeoutMs, 'output of the command');
    await learner.untilPrompt('source', true, commandTimeoutMs);
    learner.type('source', 'echo after-"the"-click\r');
    await learner.until(() => learner.screen('source').includes('after-the-click'), commandTimeoutMs, 'echo');
    expect(failures()).toBe(1);
  });

  test('types nothing into a program that runs', async () => {
    await learner.untilPrompt('source', true, commandTimeoutMs);
    learner.type('source', 'cat\r');
    await learner.untilPrompt('source', false, commandTimeoutMs);
    // Once cat answers it is the one that Ctrl-C reaches: a shell that is just starting a program swallows it.
    learner.type('source', 'said\r');
    await learner.until(
      () => learner.screen('source').includes('said\r\nsaid\r\n'),
      commandTimeoutMs,
      'answer of cat',
    );
    const runId = randomUUID();
    learner.send({
      type: 'run',
      runId,
      stepId: 'carry-it-over',
      block: 0,
      terminal: 'source',
      whenBusy: 'refuse',
    });
    const refused = await learner.runAnswer(runId, commandTimeoutMs);
    expect(refused).toMatchObject({ type: 'run-refused', busy: 'program', error: { code: 'not-at-prompt' } });
    learner.type('source', '\x03');
    await learner.untilPrompt('source', true, commandTimeoutMs);
  });

  describe('refuses', () => {
    const ticket = async () =>
      ticketReplySchema.parse(await learner.request('POST', '/session/ticket')).ticket;

    test('a request of another site', async () => {
      const response = await fetch(`${lab.url}/api/session`, {
        method: 'POST',
        headers: { origin: 'http://localhost.example', 'content-type': 'application/json' },
        body: JSON.stringify({ lessonId }),
      });
      expect(response.status).toBe(403);
      expect(response.headers.get('set-cookie')).toBeNull();
    });

    test('a socket of another site, with the learner’s own cookie and ticket', async () => {
      const socket = new Learner(lab.url, learner.browser);
      await expect(socket.open(await ticket(), 'http://localhost.example')).rejects.toThrow('403');
    });

    test('a ticket that was used', async () => {
      const other = await ticket();
      const socket = new Learner(lab.url, learner.browser);
      await socket.open(other);
      socket.cut();
      await expect(socket.open(other)).rejects.toThrow('403');
    });

    test('a stranger with a stolen ticket', async () => {
      const stranger = new Learner(lab.url);
      await expect(stranger.open(await ticket())).rejects.toThrow('403');
      stranger.browser.setCookie('live-migration-lab', 'guessed');
      await expect(stranger.open(await ticket())).rejects.toThrow('403');
    });

    test.each([
      ['text that is not JSON', '{'],
      ['an unknown message', '{"type":"sudo"}'],
      ['an impossible size', '{"type":"viewport","terminal":"source","columns":1e9,"rows":1}'],
      [
        'a terminal that is not there',
        `{"type":"attach","terminal":"host","from":0,"columns":80,"rows":24,"clientId":"${randomUUID()}"}`,
      ],
      ['a frame without header', Uint8Array.of(2)],
      ['an output frame', encodeFrame({ kind: 'output', channel: 0, offset: 0, bytes: Uint8Array.of(65) })],
      [
        'a channel that is not there',
        encodeFrame({ kind: 'input', channel: 9, offset: 0, bytes: Uint8Array.of(65) }),
      ],
    ])('%s, closing that socket alone', async (_, data) => {
      const attacker = new Learner(lab.url, learner.browser);
      await attacker.connect();
      attacker.sendRaw(data);
      await attacker.until(() => attacker.closeCode !== undefined, 10_000, 'close');
      expect(attacker.closeCode).toBe(closeCodes.badMessage);
      expect(learner.closeCode).toBeUndefined();
    });

    test('a frame over the size limit', async () => {
      const attacker = new Learner(lab.url, learner.browser);
      await attacker.connect();
      attacker.sendRaw(new Uint8Array(frameHeaderBytes + maxInputBytes + 1));
      await attacker.until(() => attacker.closeCode !== undefined, 10_000, 'close');
      // 1009 is "message too big" (RFC 6455, 7.4.1).
      expect(attacker.closeCode).toBe(1009);
    });
  });

  test('outlives its gateway, shells and all', async () => {
    learner.type('source', 'kept=in-this-shell; echo is-"kept"\r');
    await learner.until(() => learner.screen('source').includes('is-kept'), commandTimeoutMs, 'echo');
    await lab.restartGateway();
    await learner.connect();
    learner.attach('source');
    learner.type('source', 'echo still-$kept\r');
    await learner.until(
      () => learner.screen('source').includes('still-in-this-shell'),
      commandTimeoutMs,
      'variable',
    );
  });

  test('tells the page when a host is gone, and gives a new pair', async () => {
    learner.attach('destination');
    learner.type('destination', 'poweroff -ff\r');
    const { pair } = await learner.waitFor(
      'pair',
      (message) => message.pair.phase === 'failed',
      commandTimeoutMs,
    );
    expect(pair.error).toMatchObject({ code: 'lost' });
    await learner.request('DELETE', '/session');
    expect(sandboxesOf(lab.stateDir)).toEqual([]);
    const { id } = await learner.startSession(lessonId);
    expect(id).not.toBe(sessionId);
    sessionId = id;
  });

  test('leaves nothing behind when its runner is killed', async () => {
    await eventually(
      () => processesOf(lab.stateDir).filter((line) => line.includes('qemu-system')).length === 2,
      30_000,
    );
    const [pid = 0] = processIdsOf(lab.stateDir, process.execPath);
    process.kill(pid, 'SIGKILL');
    expect(await eventually(() => processesOf(lab.stateDir).length === 0, 10_000)).toBe(true);
    await lab.restartGateway();
    expect(sandboxesOf(lab.stateDir)).toEqual([]);
  });
});

test('a session ends by itself when nobody uses it, and leaves nothing behind', async () => {
  const lab = await startTestLab({ idleTimeoutMs: 3000 });
  try {
    const learner = new Learner(lab.url);
    await learner.startSession(lessonId);
    await learner.connect();
    const { reason } = await learner.waitFor('ended', () => true, 60_000);
    expect(reason).toBe('idle');
    expect(
      await eventually(
        () => sandboxesOf(lab.stateDir).length === 0 && processesOf(lab.stateDir).length === 0,
        20_000,
      ),
    ).toBe(true);
  } finally {
    await lab.stop();
  }
});

test('stopping the server ends all sessions', async () => {
  const lab = await startTestLab();
  const learner = new Learner(lab.url);
  await learner.startSession(lessonId);
  await learner.connect();
  await lab.stop();
  expect(processesOf(lab.stateDir)).toEqual([]);
  expect(learner.latest('ended')?.reason).toBe('server-stopped');
});
