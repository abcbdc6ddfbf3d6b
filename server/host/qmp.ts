/** QEMU Machine Protocol: JSON lines on a Unix socket (QEMU's docs/interop/qmp-spec). */
import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { LabError } from '../protocol/errors';

const replySchema = z.union([
  z.object({ QMP: z.unknown() }),
  z.object({ event: z.string(), data: z.record(z.string(), z.unknown()).default({}) }),
  z.object({ return: z.unknown(), id: z.number() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.number().optional() }),
]);

/** @returns undefined when the line is no reply, for example one cut off because QEMU ended */
function parseReply(line: string): z.infer<typeof replySchema> | undefined {
  try {
    return replySchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: LabError) => void;
}

export class QmpClient extends EventEmitter<{ event: [name: string, data: Record<string, unknown>] }> {
  readonly #socket: Socket;
  #nextId = 1;
  readonly #pending = new Map<number, Pending>();

  private constructor(socket: Socket) {
    super();
    this.#socket = socket;
    let cause: Error | undefined;
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => {
      this.#receive(line);
    });
    // Node forwards the socket's errors to the readline interface. Without a listener there, they would end the process.
    for (const emitter of [socket, lines]) emitter.on('error', (error: Error) => (cause = error));
    socket.on('close', () => {
      const lost = new LabError('qemu-failed', 'QEMU closed its control socket.', { cause });
      for (const waiting of this.#pending.values()) waiting.reject(lost);
      this.#pending.clear();
    });
  }

  /**
   * Waits until QEMU makes the socket, connects and negotiates capabilities.
   * @throws LabError `qemu-failed` after `timeoutMs`
   */
  static async connect(path: string, timeoutMs = 10_000): Promise<QmpClient> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const socket = connect(path);
      try {
        await once(socket, 'connect');
        const client = new QmpClient(socket);
        await client.execute('qmp_capabilities');
        return client;
      } catch (cause) {
        socket.destroy();
        if (Date.now() > deadline) {
          throw new LabError(
            'qemu-failed',
            `QEMU did not open its control socket ${path} within ${timeoutMs} ms.`,
            { cause },
          );
        }
        await sleep(10);
      }
    }
  }

  /** @throws LabError `qemu-failed` with QEMU's own description, or when the socket closes before the reply. */
  execute(command: string, parameters: Record<string, unknown> = {}): Promise<unknown> {
    if (this.#socket.destroyed) {
      return Promise.reject(new LabError('qemu-failed', `Cannot send ${command}: QEMU has ended.`));
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(line: string): void {
    const reply = parseReply(line);
    if (!reply) return;
    if ('event' in reply) {
      this.emit('event', reply.event, reply.data);
    } else if ('return' in reply) {
      this.#pending.get(reply.id)?.resolve(reply.return);
      this.#pending.delete(reply.id);
    } else if ('error' in reply && reply.id !== undefined) {
      this.#pending.get(reply.id)?.reject(new LabError('qemu-failed', `QEMU: ${reply.error.desc}`));
      this.#pending.delete(reply.id);
    }
  }
}
