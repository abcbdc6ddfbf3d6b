import { describe, expect, test } from 'vitest';
import type { LabError } from '../protocol/errors';
import type { SessionReply } from '../protocol/http';
import { GatewayClient } from './gateway-client';

const session = (id: string): SessionReply => ({
  session: {
    id,
    lessonId: 'demo',
    accelerator: 'tcg',
    createdAtMs: 0,
    endsAtMs: 1,
    extensionsLeft: 2,
  },
  queue: null,
});
const queued: SessionReply = { session: null, queue: { lessonId: 'demo', position: 1, estimateMs: null } };

/** A gateway that gives these answers in order. An Error means that the network gives no answer. */
function gateway(...answers: (Response | Error | object)[]) {
  const asked: string[] = [];
  const inits: RequestInit[] = [];
  const client = new GatewayClient((path, init) => {
    asked.push(`${init.method ?? ''} ${path}`);
    inits.push(init);
    const answer = answers.shift() ?? {};
    if (answer instanceof Error) return Promise.reject(answer);
    return Promise.resolve(answer instanceof Response ? answer : Response.json(answer));
  });
  return { client, asked, inits };
}

const errorOf = (promise: Promise<unknown>): Promise<LabError> =>
  promise.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: unknown) => error as LabError,
  );

describe('paths', () => {
  test('name no session before the client knows one', async () => {
    const { client, asked } = gateway(
      { session: null, queue: null },
      { ticket: 't' },
      new Response(null, { status: 204 }),
    );
    await client.getSession();
    expect(await client.sessionSocket()).toBe('/api/session/socket?ticket=t');
    await client.deleteSession();
    expect(asked).toEqual(['GET /api/session', 'POST /api/session/ticket', 'DELETE /api/session']);
  });

  test('name the session by its id once any answer contained it', async () => {
    const { client, asked, inits } = gateway(
      session('a/1'),
      { ticket: 't/1' },
      session('a/1'),
      session('a/1'),
      { grant: 'g' },
      new Response(null, { status: 204 }),
      { handover: 'h' },
      new Response('{}', { headers: { 'content-disposition': 'attachment; filename="demo-source.cast"' } }),
      new Response(null, { status: 204 }),
    );
    await client.postSession('demo');
    expect(inits[0]).toMatchObject({
      body: '{"lessonId":"demo"}',
      headers: { 'content-type': 'application/json' },
    });
    expect(await client.sessionSocket()).toBe('/api/sessions/a%2F1/socket?ticket=t%2F1');
    await client.resetSession();
    await client.extendSession();
    expect(await client.grantView()).toBe('g');
    await client.revokeView();
    expect(await client.offerHandover()).toBe('h');
    expect((await client.getCast('source')).name).toBe('demo-source.cast');
    await client.deleteSession();
    expect(asked).toEqual([
      'POST /api/session',
      'POST /api/sessions/a%2F1/ticket',
      'POST /api/sessions/a%2F1/reset',
      'POST /api/sessions/a%2F1/extend',
      'POST /api/sessions/a%2F1/grant',
      'DELETE /api/sessions/a%2F1/grant',
      'POST /api/sessions/a%2F1/handover',
      'GET /api/sessions/a%2F1/cast?terminal=source',
      'DELETE /api/sessions/a%2F1',
    ]);
    expect(client.socketWith('t')).toBe('/api/session/socket?ticket=t');
  });

  test('name no session when a reset ended in the queue', async () => {
    const { client, asked } = gateway(session('a'), queued, new Response(null, { status: 204 }));
    await client.getSession();
    await client.resetSession();
    await client.deleteSession();
    expect(asked.at(-1)).toBe('DELETE /api/session');
  });

  test('of viewers and handovers name a grant or a key, and the ticket identifies the session', async () => {
    const { client, asked } = gateway(session('mine'), { ticket: 't' }, { lessonId: 'demo' });
    await client.getSession();
    expect(await client.watchSocket('a grant')).toBe('/api/session/socket?ticket=t');
    expect(await client.takeHandover('k/1')).toBe('demo');
    expect(asked.slice(1)).toEqual(['POST /api/watch/a%20grant/ticket', 'POST /api/handover/k%2F1']);
  });
});

describe('errors', () => {
  test('are passed through from the gateway', async () => {
    const error = { code: 'no-capacity', message: 'Full.', hint: 'Later.' };
    const { client } = gateway(Response.json({ error }, { status: 503 }));
    expect((await errorOf(client.postSession('demo'))).toWire()).toEqual(error);
  });

  test.each([
    ['no answer', new TypeError('fetch failed: ECONNREFUSED'), 'lost'],
    ['a proxy without a gateway', new Response('<h1>Bad gateway</h1>', { status: 502 }), 'lost'],
    ['a server that fails', new Response('Error: secret at /srv/x.js', { status: 500 }), 'internal'],
    ['a reply that is not JSON', new Response('<html>'), 'bad-message'],
    ['a reply that does not match the schema', Response.json({ session: 1 }), 'bad-message'],
    [
      'a reply that breaks off',
      new Response(
        new ReadableStream({
          start(controller) {
            controller.error(new Error('secret: socket hang up'));
          },
        }),
      ),
      'lost',
    ],
  ])('of %s contain no foreign text', async (_, answer, code) => {
    const { client } = gateway(answer);
    const error = await errorOf(client.getSession());
    expect(error.code).toBe(code);
    expect(error.message).not.toMatch(/secret|ECONNREFUSED|html/);
    expect(error.hint).toBeDefined();
  });

  test('leave out a query, which may hold a secret', async () => {
    const { client } = gateway(new Response('', { status: 500 }));
    expect((await errorOf(client.request('GET', '/api/x?ticket=secret'))).message).not.toContain('secret');
  });

  test('about a missing session are ignored when it is deleted', async () => {
    const error = { code: 'no-session', message: 'There is none.' };
    const { client } = gateway(Response.json({ error }, { status: 404 }));
    await expect(client.deleteSession()).resolves.toBeUndefined();
  });
});
