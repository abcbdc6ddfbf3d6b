/**
 * Compares the sandboxes that exist with the sessions that should have them: once when the gateway starts, then every few
 * seconds. Which sandboxes exist is the provider's word; whose they are is the lease book's.
 */
import type { Logger } from 'pino';
import type { EndedSandbox, SandboxProvider } from '../providers/provider';
import { sessionInfo } from '../store/leases';
import type { SandboxSpec } from '../store/sandboxes';
import type { Admission } from './admission';
import type { LeaseBook } from './lease-book';
import type { Lifecycle, SessionSources } from './lifecycle';
import type { Pool } from './pool';
import { assign, renewLease, runnerStatus } from './runner-client';
import { oneLeaseEach } from './session-state';

/** A runner ends its session itself; one that has not this long after the session's end is stopped. */
const overdueMs = 30_000;

export interface ReconcilerParts {
  sources: SessionSources;
  provider: SandboxProvider;
  book: LeaseBook;
  admission: Admission;
  pool: Pool;
  lifecycle: Lifecycle;
  log: Logger;
}

export class Reconciler {
  readonly #parts: ReconcilerParts;
  #underWay: Promise<void> | undefined;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
  }

  /**
   * Removes what is left of dead sandboxes, ends sessions that are overdue, and renews the lease of all others. Failures go to the
   * log. A call while a round is under way joins it.
   */
  reconcile(): Promise<void> {
    this.#underWay ??= this.#reconcile()
      .catch((error: unknown) => {
        this.#parts.log.error({ err: error }, 'reconcile failed');
      })
      .finally(() => {
        this.#underWay = undefined;
      });
    return this.#underWay;
  }

  /** Resolves when no round is under way. */
  async idle(): Promise<void> {
    await this.#underWay;
  }

  async #reconcile(): Promise<void> {
    const { provider, book, lifecycle } = this.#parts;
    const { running, ended } = await provider.list();
    for (const sandbox of ended) await this.#reap(sandbox);
    await Promise.all(
      running.map(async ({ id }) => {
        const state = book.holder(id)?.state;
        if (state?.phase === 'active' && Date.now() > state.lease.endsAtMs + overdueMs) {
          await lifecycle.end(id, 'total-time');
        } else {
          await this.#renew(id);
        }
      }),
    );
  }

  async #renew(sandboxId: string): Promise<void> {
    const { provider, book, admission, pool, log } = this.#parts;
    const isWanted = () => book.holder(sandboxId) !== undefined || pool.has(sandboxId);
    if (!isWanted()) return;
    try {
      const status = await renewLease(provider, sandboxId);
      // It may be gone by now, and is not counted again then.
      if (!isWanted()) return;
      admission.observe(sandboxId, status);
      if (status.phase === 'failed' && pool.has(sandboxId)) {
        pool.forget(sandboxId);
        await provider.stop(sandboxId, 'host-lost');
      }
    } catch (error) {
      log.warn({ err: error, sandbox: sandboxId }, 'lease not renewed');
    }
  }

  async #reap(sandbox: EndedSandbox): Promise<void> {
    const { pool, lifecycle, log } = this.#parts;
    pool.forget(sandbox.id);
    if (await lifecycle.release(sandbox.id, sandbox.reason, sandbox.lastWords)) return;
    log.info({ sandbox: sandbox.id, reason: sandbox.reason ?? 'crashed' }, 'remains removed');
  }

  /**
   * After a restart: each sandbox goes on as its lease's. One without a lease goes to the pool when it is of the current template,
   * and is stopped otherwise. A lease whose sandbox is gone is over. If the last gateway was killed between lease and assignment,
   * this assigns the sandbox. If it was killed in a reset, this stops the sandbox that the lease does not name;
   * {@link Lifecycle.resumeReplacements} does the rest.
   */
  async adopt(): Promise<void> {
    const { provider, book, lifecycle } = this.#parts;
    const { running, ended } = await provider.list();
    const runningIds = new Set(running.map(({ id }) => id));
    const { kept, surplus } = oneLeaseEach(await book.stored(), runningIds);
    for (const lease of surplus) await book.discard(lease.id);
    for (const lease of kept) await book.apply(lease.ownerHash, { type: 'adopt', lease });
    for (const sandbox of ended) await this.#reap(sandbox);
    const replaced = new Set(surplus.map(({ sandboxId }) => sandboxId));
    for (const spec of running) await this.#adopt(spec, replaced.has(spec.id));
    for (const { sandboxId } of kept) {
      if (sandboxId !== null && !runningIds.has(sandboxId)) await lifecycle.release(sandboxId, undefined, '');
    }
  }

  /** @param wasReplaced whether its session is known to have another sandbox */
  async #adopt(spec: SandboxSpec, wasReplaced: boolean): Promise<void> {
    const { provider, book, pool, lifecycle, log } = this.#parts;
    const sandboxId = spec.id;
    try {
      const state = book.holder(sandboxId)?.state;
      const status = await runnerStatus(provider, sandboxId);
      if (state?.phase === 'active') {
        if (status.lessonId === null) await assign(provider, sandboxId, sessionInfo(state.lease));
      } else if (this.#isReusable(spec) && status.phase === 'ready' && status.lessonId === null) {
        pool.adopt(spec);
      } else {
        const livesOn = status.sessionId !== null && book.lease(status.sessionId) !== undefined;
        await provider.stop(sandboxId, wasReplaced || livesOn ? 'reset' : 'server-stopped');
      }
    } catch (error) {
      log.warn({ err: error, sandbox: sandboxId }, 'not adopted');
      await lifecycle.end(sandboxId, 'host-lost');
    }
  }

  #isReusable(spec: SandboxSpec): boolean {
    const { baseTemplateDir, lessonsDir } = this.#parts.sources;
    return spec.templateDir === baseTemplateDir && spec.lessonsDir === lessonsDir;
  }
}
