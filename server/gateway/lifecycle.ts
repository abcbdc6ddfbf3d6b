/**
 * How a session gets its sandbox, gets another one, and ends. Each step is a state (session-state.ts), and reaches the disk before
 * any runner or sandbox is changed for it. The next gateway can finish what a killed one has begun (reconciler.ts).
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import type { Accelerator, EndReason } from '../protocol/session';
import type { SandboxProvider } from '../providers/provider';
import { sessionInfo, type Lease } from '../store/leases';
import { writePairPeaks } from '../store/pair-cost';
import type { Admission } from './admission';
import type { LeaseBook } from './lease-book';
import type { Metrics } from './metrics';
import type { Pool } from './pool';
import { assign } from './runner-client';
import { isChanging, isHeld, leaseOf, type HeldLease } from './session-state';

/** What sessions are made of. */
export interface SessionSources {
  lessonsDir: string;
  /** Template of lessons without a set-up of their own. */
  baseTemplateDir: string;
  /** Templates of the others, by lesson. */
  lessonTemplateDirs: ReadonlyMap<string, string>;
  accelerator: Accelerator;
}

export interface LifecycleParts {
  config: Config;
  sources: SessionSources;
  provider: SandboxProvider;
  book: LeaseBook;
  admission: Admission;
  pool: Pool;
  metrics: Metrics;
  log: Logger;
}

export class Lifecycle {
  readonly #parts: LifecycleParts;
  /** Sessions that are being created or get another sandbox, by owner: one at a time, so that two tabs get one pair. */
  readonly #underWay = new Map<string, Promise<HeldLease>>();

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  /** The owner's session once what is under way has been done; undefined when nothing is. */
  underWay(ownerHash: string): Promise<HeldLease> | undefined {
    return this.#underWay.get(ownerHash);
  }

  /** Resolves when nothing is under way for the owner, well done or not. */
  async settled(ownerHash: string): Promise<void> {
    await Promise.allSettled([this.#underWay.get(ownerHash)]);
  }

  async allSettled(): Promise<void> {
    await Promise.allSettled(this.#underWay.values());
  }

  /**
   * Creates a session. What it takes of the machine is reserved when this returns, before anything is awaited.
   * @throws LabError as the provider and the runner do
   */
  begin(ownerHash: string, address: string, lessonId: string): Promise<HeldLease> {
    const { book, config, sources } = this.#parts;
    const now = Date.now();
    const lease = {
      id: randomUUID(),
      sandboxId: null,
      ownerHash,
      address,
      lessonId,
      accelerator: sources.accelerator,
      createdAtMs: now,
      endsAtMs: now + config.totalTimeoutMs,
      extensionsLeft: config.extensions,
      grant: null,
    };
    void book.apply(ownerHash, { type: 'begin', lease });
    return this.#track(ownerHash, this.#acquire(ownerHash, this.#templateOf(lessonId)));
  }

  /**
   * Gives a session another sandbox; the old one ends. The session keeps its id, owner, grant and deadline.
   * A call while a replacement is under way joins it.
   */
  replace(lease: Lease): Promise<HeldLease> {
    const { ownerHash } = lease;
    const running = this.#underWay.get(ownerHash);
    if (running) return running;
    void this.#parts.book.apply(ownerHash, { type: 'replace' });
    return this.#track(ownerHash, this.#replace(lease));
  }

  /** Finishes the replacements that the last gateway had begun. */
  resumeReplacements(): void {
    const { book, log } = this.#parts;
    for (const lease of book.leases()) {
      if (isHeld(lease)) continue;
      this.#track(lease.ownerHash, this.#replace(lease)).catch((error: unknown) => {
        log.error({ err: error, session: lease.id }, 'a reset that was interrupted has failed');
      });
    }
  }

  /** Ends the session that has this sandbox, and the sandbox in any case. */
  async end(sandboxId: string, reason: EndReason): Promise<void> {
    await this.#parts.provider.stop(sandboxId, reason);
    await this.release(sandboxId, reason, '');
  }

  /**
   * A sandbox is gone, and with it the session that had it.
   * @param reason undefined when the runner was killed or crashed
   * @param lastWords the end of the runner's log
   * @returns whether it was a session's
   */
  async release(sandboxId: string, reason: EndReason | undefined, lastWords: string): Promise<boolean> {
    const { book, admission, metrics, log } = this.#parts;
    this.#forget(sandboxId);
    const holder = book.holder(sandboxId);
    if (!holder) return false;
    const { ownerHash, state } = holder;
    if (isChanging(state)) {
      // The session gets another sandbox anyway. If the new sandbox is the one that is gone, its assignment fails.
      if (state.phase === 'replacing' && state.lease.sandboxId === sandboxId) {
        await book.apply(ownerHash, { type: 'vacate' });
      }
      return true;
    }
    const lease = leaseOf(state);
    if (!lease) return false;
    await book.apply(ownerHash, { type: 'end', why: endSentences[reason ?? 'crashed'] });
    const durationMs = Date.now() - lease.createdAtMs;
    admission.noteDuration(durationMs);
    metrics.ended.inc({ reason: reason ?? 'crashed' });
    const told = {
      session: lease.id,
      sandbox: sandboxId,
      lesson: lease.lessonId,
      reason: reason ?? 'crashed',
      durationMs,
    };
    if (reason) log.info(told, 'session ended');
    else log.error({ ...told, lastWords }, 'session lost: its runner was killed or crashed');
    return true;
  }

  #track(ownerHash: string, work: Promise<HeldLease>): Promise<HeldLease> {
    const tracked = work.finally(() => {
      this.#underWay.delete(ownerHash);
    });
    this.#underWay.set(ownerHash, tracked);
    return tracked;
  }

  async #replace(lease: Lease): Promise<HeldLease> {
    const { book, pool, sources, log } = this.#parts;
    const { id, ownerHash, sandboxId: old } = lease;
    const templateDir = this.#templateOf(lease.lessonId);
    if (old === null) return this.#acquire(ownerHash, templateDir);
    const isSpare = pool.readyCount > 0 && templateDir === sources.baseTemplateDir;
    if (!isSpare) {
      // The old sandbox has to make room first.
      const makeRoom = () => this.#retire(old, book.apply(ownerHash, { type: 'vacate' }));
      return this.#acquire(ownerHash, templateDir, makeRoom);
    }
    const fresh = await this.#acquire(ownerHash, templateDir);
    this.#retire(old).catch((error: unknown) => {
      log.error({ err: error, session: id, sandbox: old }, 'the sandbox that was replaced did not end');
    });
    return fresh;
  }

  /** Takes a sandbox and gives it to the owner's session. @param prepare done first; when it fails, this fails too */
  async #acquire(
    ownerHash: string,
    templateDir: string,
    prepare: () => Promise<void> = () => Promise.resolve(),
  ): Promise<HeldLease> {
    const { provider, book, admission, pool, metrics, sources, log } = this.#parts;
    const begun = Date.now();
    let taken: string | undefined;
    try {
      await prepare();
      await admission.measure();
      if (!admission.hasRoom() && templateDir !== sources.baseTemplateDir) await pool.shrink();
      const { spec, wasReady } = await pool.take(templateDir);
      taken = spec.id;
      await book.apply(ownerHash, { type: 'take', sandboxId: spec.id });
      await this.#introduce(ownerHash, spec.id);
      await book.apply(ownerHash, { type: 'assigned' });
      const state = book.state(ownerHash);
      if (state.phase !== 'active') throw new Error('The session has ended meanwhile.');
      const { id: session, lessonId: lesson } = state.lease;
      const ms = Date.now() - begun;
      metrics.acquireSeconds.observe({ warm: String(wasReady) }, ms / 1000);
      log.info({ session, sandbox: spec.id, lesson, warm: wasReady, ms }, 'session has a sandbox');
      pool.fill();
      return state.lease;
    } catch (error) {
      const failure = LabError.from(error, 'Starting your two hosts');
      metrics.failures.inc({ code: failure.code });
      await book.apply(ownerHash, { type: 'failed', why: failure.message }).catch((cause: unknown) => {
        log.error({ err: cause }, 'a lease could not be changed');
      });
      if (taken !== undefined) await provider.stop(taken, 'host-lost');
      throw failure;
    }
  }

  /** Tells a runner whose it is. The deadline may be changed meanwhile, and is told again then. */
  async #introduce(ownerHash: string, sandboxId: string): Promise<void> {
    const { provider, book } = this.#parts;
    let told: string | undefined;
    for (;;) {
      const state = book.state(ownerHash);
      if (!isChanging(state)) throw new Error('The session has ended meanwhile.');
      const info = sessionInfo(state.lease);
      if (JSON.stringify(info) === told) return;
      await assign(provider, sandboxId, info);
      told = JSON.stringify(info);
    }
  }

  /** Stops a sandbox that is replaced. @param vacated resolves when the next gateway would not take it for the session's */
  async #retire(sandboxId: string, vacated: Promise<void> = Promise.resolve()): Promise<void> {
    const { book, provider, metrics, log } = this.#parts;
    book.retiring.add(sandboxId);
    try {
      await vacated;
      await provider.stop(sandboxId, 'reset');
    } finally {
      book.retiring.delete(sandboxId);
      this.#forget(sandboxId);
    }
    metrics.ended.inc({ reason: 'reset' });
    log.info({ sandbox: sandboxId }, 'replaced sandbox ended');
  }

  #forget(sandboxId: string): void {
    const { admission, config, sources, log } = this.#parts;
    if (!admission.forget(sandboxId)) return;
    writePairPeaks(config.stateDir, sources.baseTemplateDir, admission.peaks).catch((error: unknown) => {
      log.warn({ err: error }, 'what pairs cost was not written down');
    });
  }

  #templateOf(lessonId: string): string {
    const { lessonTemplateDirs, baseTemplateDir } = this.#parts.sources;
    return lessonTemplateDirs.get(lessonId) ?? baseTemplateDir;
  }
}

/** What a learner whose session is gone is told. */
const endSentences: Record<EndReason | 'crashed', string> = {
  'by-learner': 'You ended your session.',
  reset: 'Your session ended because you asked for fresh hosts.',
  idle: 'Your session ended because you typed nothing for a long time.',
  disconnected: 'Your session ended because no page of it was open for a long time.',
  'total-time': 'Your session ended because its time was up.',
  'server-stopped': 'Your session ended because the server was stopped.',
  'host-lost': 'Your session ended because one of your hosts stopped running.',
  crashed: 'Your session ended because the process that ran your two hosts was killed or crashed.',
};
