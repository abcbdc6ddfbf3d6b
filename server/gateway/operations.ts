/** The operator's interface, on a port of its own that only this machine reaches: metrics, health, readiness, workshops. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { z } from 'zod';
import { LabError } from '../protocol/errors';
import { parseMessage } from '../protocol/messages';
import type { Sessions } from './sessions';

/** `POST /workshop`: so many learners come at once within the next minutes. */
const workshopSchema = z.strictObject({
  seats: z.number().int().min(0).max(10_000),
  minutes: z
    .number()
    .positive()
    .max(24 * 60)
    .default(120),
});

const loopback = '127.0.0.1';

function createOperations(sessions: Sessions) {
  const operations = new Hono();
  // For programs of this machine, not for pages in its browser: those send their origin, or another name for this host.
  operations.use(async (context, next) => {
    const { hostname } = new URL(`http://${context.req.header('host') ?? ''}`);
    if (context.req.header('origin') !== undefined || ![loopback, 'localhost'].includes(hostname)) {
      throw new LabError('forbidden', 'Only programs on this machine may use this port.');
    }
    await next();
  });
  operations.get('/health', (context) => context.json({ ok: true }));
  operations.get('/ready', (context) => {
    const state = sessions.state();
    const cannotRun = sessions.cannotRun()?.toWire();
    return context.json(
      { ready: !cannotRun, ...state, ...(cannotRun ? { cannotRun } : {}) },
      cannotRun ? 503 : 200,
    );
  });
  operations.get('/metrics', async (context) => {
    const { registry } = sessions.metrics;
    return context.text(await registry.metrics(), 200, { 'content-type': registry.contentType });
  });
  operations.post('/workshop', async (context) => {
    const { seats, minutes } = parseMessage(workshopSchema, await context.req.text());
    sessions.announce(seats, minutes * 60_000);
    return context.json(sessions.state());
  });
  operations.onError((thrown, context) => {
    const error = LabError.from(thrown, 'Answering the request');
    return context.json({ error: error.toWire() }, error.code === 'forbidden' ? 403 : 400);
  });
  return operations;
}

/** @throws LabError `port-in-use` */
export async function startOperations(
  port: number,
  sessions: Sessions,
): Promise<{ url: string; server: Server }> {
  const listener = getRequestListener(createOperations(sessions).fetch);
  const server = createServer((request, response) => void listener(request, response));
  server.listen(port, loopback);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new LabError('port-in-use', `Another program uses port ${port}, which is for metrics.`, {
      hint: 'Stop it, or choose another: LAB_METRICS_PORT=9465 npm start',
      cause,
    });
  }
  return { url: `http://${loopback}:${(server.address() as AddressInfo).port}`, server };
}
