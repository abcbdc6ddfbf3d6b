/**
 * Requests to a runner, over whatever stream its provider gives. A guest may have taken its runner over: what a runner answers is
 * bounded, parsed strictly and rebuilt, and an answer that is not a runner's is one that did not come.
 */
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { pipeline, Transform, type Readable } from 'node:stream';
import { z } from 'zod';
import { errorCodes, LabError } from '../protocol/errors';

import { castPath, runnerStatusSchema, type Assignment, type RunnerStatus } from '../protocol/runner';
import type { SandboxProvider } from '../providers/provider';

/** A runner answers in milliseconds; on a machine that starts many pairs at once it has taken seconds. */
const timeoutMs = 10_000;

/** @throws LabError `lost` when the runner is gone or does not answer as a runner does, or the error that it answered */
export async function runnerStatus(
  provider: Pick<SandboxProvider, 'connect'>,
  sandboxId: string,
): Promise<RunnerStatus> {
  return parseReply(runnerStatusSchema, await send(provider, sandboxId, 'GET', '/status'));
}

/** Lets the runner go on for another `leaseMs`. @throws LabError `lost` */
export async function renewLease(
  provider: Pick<SandboxProvider, 'connect'>,
  sandboxId: string,
): Promise<RunnerStatus> {
  return parseReply(runnerStatusSchema, await send(provider, sandboxId, 'POST', '/lease'));
}

/** Gives a sandbox to a session, or changes that session's deadline. @throws LabError `lost`, `session-exists`, `bad-lesson` */
export async function assign(
  provider: Pick<SandboxProvider, 'connect'>,
  sandboxId: string,
  assignment: Assignment,
): Promise<void> {
  await send(provider, sandboxId, 'PUT', '/session', assignment);
}

/** A reply is under a kilobyte. One that does not end is not a runner's. */
const maxReplyBytes = 64 * 1024;

async function bounded(response: IncomingMessage): Promise<string> {
  let reply = '';
  for await (const text of response.setEncoding('utf8')) {
    reply += text as string;
    if (reply.length > maxReplyBytes) throw new Error(`The reply is over ${maxReplyBytes} bytes.`);
  }
  return reply;
}

/**
 * The output that is kept of a terminal, as a cast that comes as fast as it is read. A caller that does not read it to its end
 * destroys it.
 * @param maxBytes a longer cast is not a runner's, and ends with an error
 * @throws LabError `lost`, `overloaded`, or `bad-message` when there is no such terminal
 */
export async function openCast(
  provider: Pick<SandboxProvider, 'connect'>,
  sandboxId: string,
  terminal: string,
  maxBytes: number,
): Promise<Readable> {
  const stream = await provider.connect(sandboxId);
  // Until it begins; then it takes as long as the learner's network does.
  const timer = setTimeout(() => stream.destroy(), timeoutMs);
  let response: IncomingMessage;
  try {
    const sent = request({ createConnection: () => stream, path: castPath(terminal) });
    sent.end();
    [response] = (await once(sent, 'response')) as [IncomingMessage];
    // What fails from here on fails the response as well.
    sent.on('error', () => undefined);
    if (response.statusCode !== 200) refuse(await bounded(response));
  } catch (thrown) {
    stream.destroy();
    throw thrown instanceof LabError ? thrown : lost(thrown);
  } finally {
    clearTimeout(timer);
  }
  let bytes = 0;
  const cast = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      bytes += chunk.length;
      if (bytes > maxBytes) done(new Error(`The cast is over ${maxBytes} bytes.`));
      else done(null, chunk);
    },
  });
  pipeline(response, cast, () => stream.destroy());
  return cast;
}

async function send(
  provider: Pick<SandboxProvider, 'connect'>,
  sandboxId: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<string> {
  const stream = await provider.connect(sandboxId);
  let reply: string;
  let status: number | undefined;
  try {
    const sent = request({
      createConnection: () => stream,
      method,
      path,
      signal: AbortSignal.timeout(timeoutMs),
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    status = response.statusCode;
    reply = await bounded(response);
  } catch (cause) {
    throw lost(cause);
  } finally {
    stream.destroy();
  }
  if (status === 200) return reply;
  refuse(reply);
}

const lost = (cause: unknown): LabError =>
  new LabError('lost', 'The process that runs your two hosts does not answer.', {
    hint: 'Try again in a moment. If it still does not answer, get fresh hosts.',
    cause,
  });

/** The longest text in an error that a runner sends, in characters: several times the longest that there is. */
const maxTextLength = 2000;
const runnerErrorSchema = z.strictObject({
  error: z.strictObject({
    code: z.enum(errorCodes),
    message: z.string().max(maxTextLength),
    hint: z.string().max(maxTextLength).optional(),
  }),
});

/** @throws LabError as a runner has answered it, rebuilt; `lost` when the answer is not a runner's */
function refuse(reply: string): never {
  throw LabError.fromWire(parseReply(runnerErrorSchema, reply).error);
}

/** @throws LabError `lost` when the reply is not a runner's */
function parseReply<T>(schema: z.ZodType<T>, reply: string): T {
  try {
    return schema.parse(JSON.parse(reply));
  } catch (cause) {
    throw lost(cause);
  }
}
