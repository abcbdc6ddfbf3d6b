/** Who has which session. The truth is the provider's list; this adds limits, leases and cleaning up. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import type { Accelerator, EndReason } from '../protocol/messages';
import type { SandboxProvider } from '../providers/provider';
import type { SessionSpec } from '../store/sessions';

/** 80 random bits, 16 characters of base 36 at most: short, because it is part of socket paths. */
const newSessionId = (): string => BigInt(`0x${randomBytes(10).toString('hex')}`).toString(36);
export const sessionIdLength = 16;

export interface SessionSources {
  lessonsDir: string;
  templateDir: string;
  accelerator: Accelerator;
}

export class Sessions {
  private readonly known = new Map<string, SessionSpec>();
  /** One creation at a time for each owner, so that two tabs get one pair. */
  private readonly creating = new Map<string, Promise<SessionSpec>>();
  private timer: NodeJS.Timeout | undefined;
  private reconciling: Promise<void> | undefined;

  constructor(
    private readonly config: Config,
    private readonly sources: SessionSources,
    private readonly provider: SandboxProvider,
    private readonly log: Logger,
  ) {}

  /** Adopts the sessions that outlived the last server, removes what is left of others, and keeps doing so. */
  async start(): Promise<void> {
    await this.reconcile();
    this.timer = setInterval(() => void this.reconcile(), Math.min(30_000, this.config.leaseMs / 4));
  }

  /** The owner's session, if it still runs. */
  async find(ownerHash: string): Promise<SessionSpec | undefined> {
    const mine = [...this.known.values()].find((spec) => spec.ownerHash === ownerHash);
    if (!mine) return undefined;
    try {
      (await this.provider.connect(mine.id)).destroy();
      return mine;
    } catch {
      this.known.delete(mine.id);
      return undefined;
    }
  }

  /**
   * The owner's session for this lesson, made unless there is one.
   * @throws LabError `session-exists` when the owner has one for another lesson, `no-capacity`, `lost`
   */
  async obtain(ownerHash: string, lessonId: string): Promise<SessionSpec> {
    const spec =
      (await this.creating.get(ownerHash)) ??
      (await this.find(ownerHash)) ??
      (await this.create(ownerHash, lessonId));
    if (spec.lessonId !== lessonId) {
      throw new LabError('session-exists', `Your two hosts are in use for the lesson ${spec.lessonId}.`, {
        hint: 'Go back to that lesson, or end its session first.',
      });
    }
    return spec;
  }

  async end(sessionId: string, reason: EndReason): Promise<void> {
    this.known.delete(sessionId);
    await this.provider.stop(sessionId, reason);
  }

  /** @param reason given to the pages of every session; undefined leaves the sessions running */
  async stop(reason: EndReason | undefined): Promise<void> {
    clearInterval(this.timer);
    await this.reconciling;
    await Promise.allSettled(this.creating.values());
    if (reason) await Promise.all([...this.known.keys()].map((id) => this.end(id, reason)));
  }

  private create(ownerHash: string, lessonId: string): Promise<SessionSpec> {
    const running = this.creating.get(ownerHash);
    if (running) return running;
    const created = this.launch(ownerHash, lessonId).finally(() => this.creating.delete(ownerHash));
    this.creating.set(ownerHash, created);
    return created;
  }

  private async launch(ownerHash: string, lessonId: string): Promise<SessionSpec> {
    if (this.known.size + this.creating.size >= this.config.maxSessions) {
      throw new LabError('no-capacity', `All ${this.config.maxSessions} pairs are in use.`, {
        hint: 'Try again in some minutes; until then the lesson can be read without hosts.',
      });
    }
    const now = Date.now();
    const spec: SessionSpec = {
      ...this.sources,
      id: newSessionId(),
      ownerHash,
      lessonId,
      createdAtMs: now,
      endsAtMs: now + this.config.totalTimeoutMs,
      extensionsLeft: this.config.extensions,
      idleTimeoutMs: this.config.idleTimeoutMs,
      leaseMs: this.config.leaseMs,
      scrollbackBytes: this.config.scrollbackBytes,
    };
    await this.provider.launch(spec);
    this.known.set(spec.id, spec);
    this.log.info({ session: spec.id, lesson: lessonId }, 'session launched');
    return spec;
  }

  private reconcile(): Promise<void> {
    this.reconciling ??= this.adopt()
      .catch((error: unknown) => {
        this.log.error({ err: error }, 'reconcile failed');
      })
      .finally(() => {
        this.reconciling = undefined;
      });
    return this.reconciling;
  }

  private async adopt(): Promise<void> {
    const alive = await this.provider.list();
    const ids = new Set(alive.map((spec) => spec.id));
    for (const id of this.known.keys()) if (!ids.has(id)) this.known.delete(id);
    for (const spec of alive) {
      this.known.set(spec.id, spec);
      await this.renewLease(spec.id).catch((error: unknown) => {
        this.log.warn({ err: error, session: spec.id }, 'lease not renewed');
      });
    }
  }

  private async renewLease(sessionId: string): Promise<void> {
    const stream = await this.provider.connect(sessionId);
    const sent = request({
      createConnection: () => stream,
      method: 'POST',
      path: '/lease',
      signal: AbortSignal.timeout(5000),
    });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    if (response.statusCode !== 200) {
      throw new LabError('lost', `The runner answered ${response.statusCode ?? 0} to its lease.`);
    }
  }
}
