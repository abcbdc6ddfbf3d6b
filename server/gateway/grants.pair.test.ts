/** A viewer with a link to watch, on a real pair: sees the terminals, can do nothing, and is cut off when the link is revoked. */
import { randomUUID } from 'node:crypto';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeFrame } from '../protocol/frames';
import { grantReplySchema, ticketReplySchema } from '../protocol/http';
import { closeCodes, type ClientMessage } from '../protocol/messages';
import { Learner } from '../client/learner';
import { labSetUpTimeoutMs, startTestLab, type TestLab } from '../testing/lab';

/** Under TCG on a busy machine; on an idle one it takes a few seconds. */
const pairTimeoutMs = 180_000;
const timeoutMs = 60_000;

let lab: TestLab;
let owner: Learner;

async function atPrompt(learner: Learner): Promise<void> {
  await learner.connect();
  learner.attach('source');
  await learner.untilPrompt('source', true, pairTimeoutMs);
}

beforeAll(async () => {
  lab = await startTestLab();
  owner = new Learner(lab.url);
  await owner.startSession('live-migration');
  await atPrompt(owner);
}, labSetUpTimeoutMs);
afterAll(async () => {
  await lab.stop();
});

const grantOf = async () => grantReplySchema.parse(await owner.request('POST', '/session/grant')).grant;

/** A browser that knows nothing but the link. */
async function watch(grant: string): Promise<Learner> {
  const viewer = new Learner(lab.url);
  const reply = await viewer.request('POST', `/watch/${grant}/ticket`);
  const hello = await viewer.open(ticketReplySchema.parse(reply).ticket);
  expect(hello.role).toBe('viewer');
  viewer.attach('source');
  return viewer;
}

/** Waits until the viewer sees the prompt, and leaves. */
async function shows(viewer: Learner): Promise<void> {
  const seen = () => stripVTControlCharacters(viewer.screen('source'));
  await viewer.until(() => seen().includes('root@source'), timeoutMs, 'prompt');
  viewer.cut();
}

const closed = (learner: Learner) =>
  learner.until(() => learner.closeCode !== undefined, timeoutMs, 'closed socket');

test('the link stays the same, and shows what the owner sees', async () => {
  const grant = await grantOf();
  expect(await grantOf()).toBe(grant);
  const viewer = await watch(grant);
  owner.type('source', 'echo for-"everybody"\r');
  await viewer.until(() => viewer.screen('source').includes('for-everybody'), timeoutMs, 'output');
  viewer.cut();
});

test.each<[what: string, sent: Uint8Array | ClientMessage]>([
  ['type', encodeFrame({ kind: 'input', channel: 0, offset: 0, bytes: Buffer.from('touch /typed\r') })],
  [
    'run a command',
    {
      type: 'run',
      runId: randomUUID(),
      stepId: 'start-the-container',
      block: 0,
      terminal: 'source',
      whenBusy: 'interrupt',
    },
  ],
  ['take the size over', { type: 'activate', terminal: 'source' }],
  ['change the size', { type: 'viewport', terminal: 'source', columns: 20, rows: 5 }],
  ['open a terminal', { type: 'open-terminal', host: 'source', requestId: randomUUID() }],
  ['close a terminal', { type: 'close-terminal', terminal: 'source' }],
  ['rename a terminal', { type: 'rename-terminal', terminal: 'source', name: 'mine' }],
  ['run a check', { type: 'check', stepId: 'start-the-container' }],
  ['go back', { type: 'rewind', stepId: 'start-the-container' }],
  ['keep the session', { type: 'here' }],
])('a viewer who tries to %s is cut off, and nothing happens', async (_, sent) => {
  const viewer = await watch(await grantOf());
  const before = owner.messages.length;
  viewer.sendRaw(sent instanceof Uint8Array ? sent : JSON.stringify(sent));
  await closed(viewer);
  expect(viewer.closeCode).toBe(closeCodes.forbidden);
  owner.type('source', 'ls /typed; stty size; echo nothing-"happened"\r');
  await owner.until(() => owner.screen('source').includes('nothing-happened'), timeoutMs, 'output');
  await owner.untilPrompt('source', true, timeoutMs);
  expect(owner.screen('source')).toMatch(/No such file[^]*40 120\r\nnothing-happened/);
  // Nor `step`, but checks also run by themselves every few seconds.
  const told = owner.messages.slice(before).map(({ type }) => type);
  expect(told).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(run|terminals|pair|rewound)$/)]));
  // For the next one.
  owner.type('source', 'clear\r');
  owner.screens.delete('source');
});

test('the link outlives the gateway', async () => {
  const grant = await grantOf();
  await lab.restartGateway();
  await shows(await watch(grant));
  await atPrompt(owner);
  expect(await grantOf()).toBe(grant);
});

test('the link goes on when the hosts are replaced by fresh ones', async () => {
  const grant = await grantOf();
  const viewer = await watch(grant);
  await owner.request('POST', '/session/reset');
  expect((await viewer.waitFor('ended', () => true, timeoutMs)).reason).toBe('reset');
  await atPrompt(owner);
  await shows(await watch(grant));
});

test('revoked, the link shows nothing, and a viewer is cut off in the middle of a flood', async () => {
  const grant = await grantOf();
  const viewer = await watch(grant);
  owner.type('source', 'yes a-flood\r');
  await viewer.until(() => viewer.screen('source').length > 100_000, timeoutMs, 'flood');
  await owner.request('DELETE', '/session/grant');
  await closed(viewer);
  expect(viewer.closeCode).toBe(closeCodes.forbidden);
  await expect(watch(grant)).rejects.toMatchObject({ code: 'forbidden' });
  owner.type('source', '\x03');
  await owner.untilPrompt('source', true, timeoutMs);
  expect(owner.closeCode).toBeUndefined();
  const next = await grantOf();
  expect(next).not.toBe(grant);
  (await watch(next)).cut();
});

test('a session that has ended is watched by nobody', async () => {
  const grant = await grantOf();
  const viewer = await watch(grant);
  // A page closes its socket when it hears of the end. One that does not is closed by the runner, with a code.
  const deaf = new Learner(lab.url);
  const { ticket } = ticketReplySchema.parse(await deaf.request('POST', `/watch/${grant}/ticket`));
  const closedWith = new Promise<number>((resolve) => {
    const handlers = { onMessage: () => undefined, onClose: resolve };
    deaf.browser.openSocket(`/api/session/socket?ticket=${ticket}`, handlers);
  });
  await owner.request('DELETE', '/session');
  expect((await viewer.waitFor('ended', () => true, timeoutMs)).reason).toBe('by-learner');
  expect(await closedWith).toBe(closeCodes.sessionEnded);
  await expect(watch(grant)).rejects.toMatchObject({ code: 'forbidden' });
});
