/** A guest may have taken its runner over. What such a runner answers must not get far. */
import { createServer, type RequestListener } from 'node:http';
import { duplexPair } from 'node:stream';
import { expect, test } from 'vitest';
import { assign, renewLease, runnerStatus } from './runner-client';

const runner = (answer: RequestListener) => ({
  connect: () => {
    const [ours, theirs] = duplexPair();
    createServer(answer).emit('connection', theirs);
    return Promise.resolve(ours);
  },
});
const answering = (status: number, body: string) =>
  runner((_request, response) => {
    response.writeHead(status).end(body);
  });

const assignment = {
  id: 'session-1',
  lessonId: 'lesson',
  accelerator: 'tcg',
  createdAtMs: 0,
  endsAtMs: 1,
  extensionsLeft: 0,
} as const;
const status = {
  phase: 'ready',
  lessonId: null,
  sessionId: null,
  connections: 0,
  memoryBytes: 1,
  cpuSeconds: 1,
  readyMs: 1,
};

test('a status is rebuilt: nothing of it but what is asked for', async () => {
  const provider = answering(200, JSON.stringify({ ...status, extra: 'x', __proto__: { polluted: true } }));
  expect(await runnerStatus(provider, 'sandbox')).toEqual(status);
});

test('a status of a runner of an earlier version names no session', async () => {
  const old = JSON.stringify({ ...status, sessionId: undefined });
  expect(await renewLease(answering(200, old), 'sandbox')).toEqual(status);
});

test.each([
  ['no JSON', '<html>'],
  ['nothing', ''],
  ['another type', '[]'],
  ['an unknown phase', JSON.stringify({ ...status, phase: 'mine' })],
  ['a negative amount', JSON.stringify({ ...status, memoryBytes: -1 })],
  ['text for a number', JSON.stringify({ ...status, cpuSeconds: 'x'.repeat(100) })],
  ['more than a reply can be', JSON.stringify({ ...status, lessonId: 'x'.repeat(100_000) })],
])('a status with %s is none', async (_, body) => {
  await expect(runnerStatus(answering(200, body), 'sandbox')).rejects.toMatchObject({
    code: 'lost',
    message: 'The process that runs your two hosts does not answer.',
  });
});

test('an error is rebuilt as the runner said it', async () => {
  const error = { code: 'bad-lesson', message: 'There is no lesson x.', hint: 'Choose another.' };
  const refused = assign(answering(400, JSON.stringify({ error })), 'sandbox', assignment);
  await expect(refused).rejects.toMatchObject(error);
});

const error = { code: 'lost', message: 'Gone.' };
test.each([
  ['of no known code', { error: { ...error, code: 'come-in' } }],
  ['without a text', { error: { code: 'lost' } }],
  ['with a text that does not end', { error: { ...error, message: 'x'.repeat(5000) } }],
  ['with more in it', { error: { ...error, stack: 'at /srv/lab' } }],
  ['with more beside it', { error, cookie: 'x' }],
  ['that is none', {}],
])('an error %s is none of a runner', async (_, body) => {
  const refused = assign(answering(500, JSON.stringify(body)), 'sandbox', assignment);
  await expect(refused).rejects.toMatchObject({
    code: 'lost',
    message: 'The process that runs your two hosts does not answer.',
  });
});
