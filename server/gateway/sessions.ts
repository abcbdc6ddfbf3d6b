/**
 * Learners' sessions, as the API asks for them. A session is a lease on a sandbox: given to one learner for one lesson, renewed
 * while this server wants it, and over at its end. A session keeps its id when its sandbox is replaced.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import type { SessionReply } from '../protocol/http';
import type { EndReason } from '../protocol/session';
import type { SandboxProvider } from '../providers/provider';
import { sessionInfo, type Lease, type LeaseStore } from '../store/leases';
import { readPairPeaks } from '../store/pair-cost';
import { Admission } from './admission';
import type { Capacity } from './capacity';
import { LeaseBook } from './lease-book';
import { Lifecycle, type SessionSources } from './lifecycle';
import { Metrics } from './metrics';
import { Pool } from './pool';
import { Reconciler } from './reconciler';
import { assign } from './runner-client';
import { hasNoSession, isHeld, leaseOf, type HeldLease } from './session-state';

/** Runners that end by themselves, or are killed, are noticed after this. */
const reconcileMs = 5_000;
/** The queue and the pool are looked after this often. */
const tickMs = 1_000;

export class Sessions {
  readonly metrics: Metrics;
  readonly #config: Config;
  readonly #sources: SessionSources;
  readonly #provider: SandboxProvider;
  readonly #log: Logger;
  readonly #book: LeaseBook;
  readonly #admission: Admission;
  readonly #pool: Pool;
  readonly #lifecycle: Lifecycle;
  readonly #reconciler: Reconciler;
  /** Learners who were announced, and until when they are expected. */
  #announced: { seats: number; untilMs: number };
  #timers: NodeJS.Timeout[] = [];
  #ticking: Promise<void> | undefined;
  #stopped = false;

  constructor(
    config: Config,
    sources: SessionSources,
    provider: SandboxProvider,
    store: LeaseStore,
    log: Logger,
  ) {
    this.#config = config;
    this.#sources = sources;
    this.#provider = provider;
    this.#log = log;
    const book = new LeaseBook(store);
    const admission = new Admission(config, book, () => this.#pool.size);
    this.#book = book;
    this.#admission = admission;
    this.#announced = { seats: config.workshopSeats, untilMs: Infinity };
    this.metrics = new Metrics({
      poolReady: () => this.#pool.readyCount,
      poolMaking: () => this.#pool.size - this.#pool.readyCount,
      sessions: () => book.leases().length,
      queue: () => admission.queue.size,
      capacity: () => admission.capacity?.pairs ?? 0,
      memoryBytes: () => admission.memoryBytes,
    });
    this.#pool = new Pool(
      provider,
      {
        template: (templateDir) => ({
          templateDir,
          lessonsDir: sources.lessonsDir,
          accelerator: sources.accelerator,
          idleTimeoutMs: config.idleTimeoutMs,
          disconnectedTimeoutMs: config.disconnectedTimeoutMs,
          endWarningMs: config.endWarningMs,
          leaseMs: config.leaseMs,
          scrollbackBytes: config.scrollbackBytes,
          maxTerminals: config.maxTerminals,
          savedStatesMiB: config.savedStatesMiB,
        }),
        baseTemplateDir: sources.baseTemplateDir,
        size: config.poolSize,
        expected: () => (Date.now() < this.#announced.untilMs ? this.#announced.seats - book.count : 0),
        // Learners in the queue come before the pool.
        hasRoom: async () => {
          if (admission.queue.size > 0) return false;
          await admission.measure();
          return admission.hasRoom();
        },
      },
      this.metrics,
      log,
    );
    const parts = { config, sources, provider, book, admission, pool: this.#pool, log };
    this.#lifecycle = new Lifecycle({ ...parts, metrics: this.metrics });
    this.#reconciler = new Reconciler({ ...parts, lifecycle: this.#lifecycle });
  }

  /** Adopts the sessions that outlived the last server, removes what is left of others, and keeps doing so. */
  async start(): Promise<void> {
    this.#admission.startWith(await readPairPeaks(this.#config.stateDir, this.#sources.baseTemplateDir));
    await this.#reconciler.adopt();
    await this.#admission.measure();
    this.#lifecycle.resumeReplacements();
    this.#timers = [
      setInterval(() => void this.#reconciler.reconcile(), Math.min(reconcileMs, this.#config.leaseMs / 4)),
      setInterval(() => void this.#tick(), tickMs),
    ];
    void this.#tick();
  }

  /**
   * The owner's session, if it still runs. While the session has no sandbox because it gets another one, this waits for that.
   * @param sessionId the one that is meant; undefined for the only one
   */
  async find(ownerHash: string, sessionId?: string): Promise<HeldLease | undefined> {
    const current = (): Lease | undefined => {
      const lease = leaseOf(this.#book.state(ownerHash));
      return sessionId === undefined || lease?.id === sessionId ? lease : undefined;
    };
    let lease = current();
    if (lease && !isHeld(lease)) {
      await this.#lifecycle.settled(ownerHash);
      lease = current();
    }
    if (!lease || !isHeld(lease)) return undefined;
    try {
      (await this.#provider.connect(lease.sandboxId)).destroy();
    } catch {
      await this.#reconciler.reconcile();
    }
    // Not `lease`: it may have been changed meanwhile.
    const found = current();
    return found && isHeld(found) ? found : undefined;
  }

  /** Why the owner's last session ended, as a sentence, if it was here. */
  lastEnd(ownerHash: string): string | undefined {
    const state = this.#book.state(ownerHash);
    return state.phase === 'ended' ? state.why : undefined;
  }

  /** The owner's session or position in the queue; asking keeps the position. */
  async ask(ownerHash: string): Promise<SessionReply> {
    const mine = await this.#current(ownerHash);
    if (mine) return { session: sessionInfo(mine), queue: null };
    const waiting = this.#admission.queue.ask(ownerHash);
    if (!waiting) return { session: null, queue: null };
    const { entry, position } = waiting;
    const estimateMs = this.#admission.estimateMs(position);
    return { session: null, queue: { lessonId: entry.lessonId, position, estimateMs } };
  }

  /**
   * The owner's session for this lesson, a new one, or a position in the queue.
   * @throws LabError `session-exists` when the owner has one for another lesson, `no-capacity` when the queue is full,
   * `too-many-sessions`, `cannot-run`, `lost`
   */
  async obtain(ownerHash: string, address: string, lessonId: string): Promise<SessionReply> {
    const mine = await this.#current(ownerHash);
    if (mine) {
      if (mine.lessonId !== lessonId) {
        throw new LabError('session-exists', `Your two hosts are in use for the lesson ${mine.lessonId}.`, {
          hint: 'Go back to that lesson, or end its session first.',
        });
      }
      return { session: sessionInfo(mine), queue: null };
    }
    const admission = this.#admission;
    await admission.measure();
    // Another tab of the same learner may have been quicker.
    if (!hasNoSession(this.#book.state(ownerHash))) return this.obtain(ownerHash, address, lessonId);
    // Nothing is awaited from here to the reservation, so that two requests never get the same room.
    const isWaiting = admission.queue.ask(ownerHash) !== undefined;
    if (!isWaiting) admission.requireRoomFor(address);
    const cannot = admission.cannotRun();
    if (cannot) throw cannot;
    if (isWaiting || admission.queue.size > 0 || !admission.canAdmit()) {
      admission.join(ownerHash, address, lessonId);
      return this.ask(ownerHash);
    }
    const begun = await this.#lifecycle.begin(ownerHash, address, lessonId);
    return { session: sessionInfo(begun), queue: null };
  }

  /**
   * Gives a session a fresh pair; the old one ends. The session itself goes on, with its id, deadline and lesson.
   * @throws LabError `no-session`, `lost`
   */
  async reset(sessionId: string): Promise<Lease> {
    return this.#lifecycle.replace(this.#require(sessionId));
  }

  /** Puts the end of a session off. @throws LabError `no-session`, `forbidden` when that was done too often */
  async extend(sessionId: string): Promise<Lease> {
    const mine = this.#require(sessionId);
    if (mine.extensionsLeft === 0) {
      throw new LabError('forbidden', 'You cannot extend this session again: no extension is left.', {
        hint: 'Copy what you want to keep out of the terminals, and start a new session after this one.',
      });
    }
    const change = {
      endsAtMs: mine.endsAtMs + this.#config.extensionMs,
      extensionsLeft: mine.extensionsLeft - 1,
    };
    if (isHeld(mine)) await assign(this.#provider, mine.sandboxId, sessionInfo({ ...mine, ...change }));
    await this.#amend(sessionId, change);
    const longer = this.#require(sessionId);
    // A reset may have replaced the sandbox meanwhile, and told the new one the old end.
    if (isHeld(longer) && longer.sandboxId !== mine.sandboxId) {
      await assign(this.#provider, longer.sandboxId, sessionInfo(longer));
    }
    this.#log.info({ session: sessionId, left: longer.extensionsLeft }, 'session extended');
    return longer;
  }

  /**
   * A key that lets everyone who has it watch the session's terminals, until the session ends or {@link revokeGrant}. Asking again
   * gives the same key, also after the sandbox was replaced.
   * @throws LabError `no-session`
   */
  async grant(sessionId: string): Promise<string> {
    const mine = this.#require(sessionId);
    if (mine.grant !== null) return mine.grant;
    const grant = randomBytes(32).toString('base64url');
    await this.#amend(sessionId, { grant });
    this.#log.info({ session: sessionId }, 'grant to watch made');
    return grant;
  }

  /** Revokes the grant at once, and tickets that were issued for it. @throws LabError `no-session` */
  async revokeGrant(sessionId: string): Promise<void> {
    await this.#amend(sessionId, { grant: null });
    this.#log.info({ session: sessionId }, 'grant to watch revoked');
  }

  /** The session that this grant lets watch, once it has a sandbox. */
  async findGranted(grant: string): Promise<HeldLease | undefined> {
    const lease = this.#book.granted(grant);
    if (lease && !isHeld(lease)) await this.#lifecycle.settled(lease.ownerHash);
    const found = this.#book.granted(grant);
    return found && isHeld(found) ? found : undefined;
  }

  /** Whether, at this instant, the grant lets watch this session. */
  isGranted(sessionId: string, grant: string): boolean {
    return this.#book.granted(grant)?.id === sessionId;
  }

  /** Gives up the owner's session or position in the queue. @returns whether there was one */
  async leave(ownerHash: string): Promise<boolean> {
    let had = this.#admission.leave(ownerHash);
    // Again when the session got another sandbox meanwhile.
    for (let mine = await this.#current(ownerHash); mine; mine = await this.#current(ownerHash)) {
      await this.#lifecycle.end(mine.sandboxId, 'by-learner');
      had = true;
    }
    return had;
  }

  /** Learners that will come: pairs are made ahead for those who have none yet. */
  announce(seats: number, forMs: number): void {
    this.#announced = { seats, untilMs: Date.now() + forMs };
    this.#log.info({ seats, forMs }, 'workshop announced');
    this.#pool.fill();
  }

  /** Why this machine can run no pair at all; undefined when it can. */
  cannotRun(): LabError | undefined {
    return this.#admission.cannotRun();
  }

  /** What the readiness of this server depends on. */
  state(): {
    capacity: Capacity | undefined;
    sessions: number;
    pool: number;
    poolReady: number;
    queue: number;
  } {
    return {
      capacity: this.#admission.capacity,
      sessions: this.#book.leases().length,
      pool: this.#pool.size,
      poolReady: this.#pool.readyCount,
      queue: this.#admission.queue.size,
    };
  }

  /** @param reason given to the pages of every session; undefined leaves the sessions and the pool running */
  async stop(reason: EndReason | undefined): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([this.#reconciler.idle(), this.#ticking]);
    await this.#lifecycle.allSettled();
    await this.#pool.close(reason === undefined);
    if (!reason) return;
    const held = this.#book.leases().filter(isHeld);
    const sandboxIds = [...held.map(({ sandboxId }) => sandboxId), ...this.#book.retiring];
    await Promise.all(sandboxIds.map((id) => this.#lifecycle.end(id, reason)));
  }

  /** The owner's session, when one is being made then that one. @throws LabError when that fails */
  async #current(ownerHash: string): Promise<HeldLease | undefined> {
    return (await this.#lifecycle.underWay(ownerHash)) ?? (await this.find(ownerHash));
  }

  #require(sessionId: string): Lease {
    const lease = this.#book.lease(sessionId);
    if (!lease)
      throw new LabError('no-session', 'Your session has ended.', { hint: 'Start your two hosts.' });
    return lease;
  }

  async #amend(
    sessionId: string,
    change: Partial<Pick<Lease, 'endsAtMs' | 'extensionsLeft' | 'grant'>>,
  ): Promise<void> {
    const { ownerHash } = this.#require(sessionId);
    await this.#book.apply(ownerHash, { type: 'amend', change });
  }

  #tick(): Promise<void> {
    this.#ticking ??= this.#serveQueue()
      .catch((error: unknown) => {
        this.#log.error({ err: error }, 'the queue could not be served');
      })
      .finally(() => {
        this.#ticking = undefined;
      });
    return this.#ticking;
  }

  async #serveQueue(): Promise<void> {
    await this.#admission.measure();
    while (!this.#stopped) {
      const next = this.#admission.takeNext();
      if (!next) break;
      this.metrics.queueSeconds.observe((Date.now() - next.queuedAtMs) / 1000);
      try {
        await this.#lifecycle.begin(next.ownerHash, next.address, next.lessonId);
      } catch (error) {
        this.#log.error({ err: error }, 'no pair for the learner who was next in the queue');
      }
      await this.#admission.measure();
    }
    this.#pool.fill();
  }
}
