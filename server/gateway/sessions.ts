/**
 * Who has which pair. A session is a lease on a sandbox: given to one learner for one lesson, renewed while this server wants it,
 * and over at its end. Which sandboxes exist is the provider's word; whose they are is in the leases on disk.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Logger } from 'pino';
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import type { SessionReply } from '../protocol/http';
import type { Accelerator, EndReason } from '../protocol/session';
import type { EndedSandbox, SandboxProvider } from '../providers/provider';
import { listLeases, removeLease, sessionInfo, writeLease, type Lease } from '../store/leases';
import { readPairPeaks, writePairPeaks } from '../store/pair-cost';
import type { SandboxSpec } from '../store/sandboxes';
import { availableMemoryBytes, CapacityMeter, type Capacity } from './capacity';
import { Metrics } from './metrics';
import { Pool } from './pool';
import { Queue, type Waiting } from './queue';
import { assign, renewLease, runnerStatus } from './runner-client';

export interface SessionSources {
  lessonsDir: string;
  /** Template of lessons without a set-up of their own. */
  baseTemplateDir: string;
  /** Templates of the others, by lesson. */
  lessonTemplateDirs: ReadonlyMap<string, string>;
  accelerator: Accelerator;
}

/** Runners that end by themselves, or are killed, are noticed after this. */
const reconcileMs = 5_000;
/** The queue and the pool are looked after this often. */
const tickMs = 1_000;
/** A runner ends its session itself; one that has not this long after the end is stopped. */
const overdueMs = 30_000;
/** Learners whose session's end is remembered for their next question. */
const rememberedEnds = 1000;
/** Durations of past sessions that the queue's estimate is made from. */
const rememberedDurations = 50;

export class Sessions {
  readonly metrics: Metrics;
  private readonly leases = new Map<string, Lease>();
  /** One creation at a time for each owner, so that two tabs get one pair. */
  private readonly creating = new Map<string, Promise<Lease>>();
  private readonly queue: Queue;
  private readonly pool: Pool;
  private readonly ends = new Map<string, string>();
  private readonly durationsMs: number[] = [];
  private readonly memoryBytes = new Map<string, number>();
  private meter: CapacityMeter;
  private capacity: Capacity | undefined;
  private announced: { seats: number; untilMs: number };
  private timers: NodeJS.Timeout[] = [];
  private reconciling: Promise<void> | undefined;
  private ticking: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly config: Config,
    private readonly sources: SessionSources,
    private readonly provider: SandboxProvider,
    private readonly log: Logger,
  ) {
    this.queue = new Queue(config.queueGraceMs);
    this.meter = new CapacityMeter(config);
    this.announced = { seats: config.workshopSeats, untilMs: Infinity };
    this.metrics = new Metrics({
      poolReady: () => this.pool.readyCount,
      poolMaking: () => this.pool.size - this.pool.readyCount,
      sessions: () => this.leases.size,
      queue: () => this.queue.size,
      capacity: () => this.capacity?.pairs ?? 0,
      memoryBytes: () => [...this.memoryBytes.values()].reduce((sum, bytes) => sum + bytes, 0),
    });
    this.pool = new Pool(
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
        expected: () =>
          Date.now() < this.announced.untilMs
            ? this.announced.seats - this.leases.size - this.creating.size
            : 0,
        // Who waits comes first.
        hasRoom: async () => this.queue.size === 0 && (await this.hasRoom()),
      },
      this.metrics,
      log,
    );
  }

  /** Adopts the sessions that outlived the last server, removes what is left of others, and keeps doing so. */
  async start(): Promise<void> {
    const peaks = await readPairPeaks(this.config.stateDir, this.sources.baseTemplateDir);
    this.meter = new CapacityMeter(this.config, peaks);
    await this.adopt();
    await this.measure();
    this.timers = [
      setInterval(() => void this.reconcile(), Math.min(reconcileMs, this.config.leaseMs / 4)),
      setInterval(() => void this.tick(), tickMs),
    ];
    void this.tick();
  }

  /** The owner's session, if it still runs. */
  async find(ownerHash: string): Promise<Lease | undefined> {
    const mine = this.newestOf(ownerHash);
    if (!mine) return undefined;
    try {
      (await this.provider.connect(mine.id)).destroy();
      // Not `mine`: it may have been changed meanwhile.
      return this.leases.get(mine.id);
    } catch {
      await this.reconcile();
      return this.leases.get(mine.id);
    }
  }

  /** Why the owner's last session ended, as a sentence, if it was here. */
  lastEnd(ownerHash: string): string | undefined {
    return this.ends.get(ownerHash);
  }

  /** The owner's session or place in the queue; asking keeps the place. */
  async ask(ownerHash: string): Promise<SessionReply> {
    const mine = (await this.creating.get(ownerHash)) ?? (await this.find(ownerHash));
    if (mine) return { session: sessionInfo(mine), queue: null };
    const waiting = this.queue.ask(ownerHash);
    if (!waiting) return { session: null, queue: null };
    const { entry, position } = waiting;
    return {
      session: null,
      queue: { lessonId: entry.lessonId, position, estimateMs: this.estimateMs(position) },
    };
  }

  /**
   * The owner's session for this lesson, a new one, or a place in the queue.
   * @throws LabError `session-exists` when the owner has one for another lesson, `no-capacity` when the queue is full,
   * `too-many-sessions`, `cannot-run`, `lost`
   */
  async obtain(ownerHash: string, address: string, lessonId: string): Promise<SessionReply> {
    const mine = (await this.creating.get(ownerHash)) ?? (await this.find(ownerHash));
    if (mine) {
      if (mine.lessonId !== lessonId) {
        throw new LabError('session-exists', `Your two hosts are in use for the lesson ${mine.lessonId}.`, {
          hint: 'Go back to that lesson, or end its session first.',
        });
      }
      return { session: sessionInfo(mine), queue: null };
    }
    const isWaiting = this.queue.ask(ownerHash) !== undefined;
    if (!isWaiting) this.requireRoomFor(address);
    // Counted again: memory that another program took is not there any more.
    await this.measure();
    const cannot = this.cannotRun();
    if (cannot) throw cannot;
    if (isWaiting || this.queue.size > 0 || !(await this.canAcquire())) {
      if (!isWaiting && this.queue.size >= this.config.maxQueue) {
        throw new LabError('no-capacity', 'All pairs are in use, and the queue for them is full.', {
          hint: 'Try again in some minutes; until then the lesson can be read without hosts.',
        });
      }
      this.queue.join(ownerHash, address, lessonId);
      return this.ask(ownerHash);
    }
    return { session: sessionInfo(await this.create(ownerHash, address, lessonId)), queue: null };
  }

  /**
   * A fresh pair for the owner's session; the old one ends. Deadline and lesson stay.
   * @throws LabError `no-session`, `lost`
   */
  async reset(ownerHash: string): Promise<Lease> {
    const old = await this.find(ownerHash);
    if (!old) throw new LabError('no-session', 'You have no running session.');
    const fresh = this.replace(old).finally(() => {
      this.creating.delete(ownerHash);
    });
    // Who asks meanwhile, another tab for example, waits for the fresh one.
    this.creating.set(ownerHash, fresh);
    return fresh;
  }

  /** Puts the end of the owner's session off. @throws LabError `no-session`, `forbidden` when that was done too often */
  async extend(ownerHash: string): Promise<Lease> {
    const mine = await this.find(ownerHash);
    if (!mine) throw new LabError('no-session', 'You have no running session.');
    if (mine.extensionsLeft === 0) {
      throw new LabError('forbidden', 'This session cannot be made longer again.', {
        hint: 'What you want to keep, copy out of the terminals; then start a new pair.',
      });
    }
    const later = {
      endsAtMs: mine.endsAtMs + this.config.extensionMs,
      extensionsLeft: mine.extensionsLeft - 1,
    };
    await assign(this.provider, sessionInfo({ ...mine, ...later }));
    const longer = await this.amend(mine.id, later);
    this.log.info({ session: longer.id, left: longer.extensionsLeft }, 'session made longer');
    return longer;
  }

  /**
   * What lets whoever has it watch the owner's terminals, until the session ends or {@link revokeGrant}; the same one each time.
   * It goes on when the pair is replaced by a fresh one.
   * @throws LabError `no-session`
   */
  async grant(ownerHash: string): Promise<string> {
    const mine = await this.settled(ownerHash);
    if (mine.grant !== null) return mine.grant;
    const grant = randomBytes(32).toString('base64url');
    await this.amend(mine.id, { grant });
    this.log.info({ session: mine.id }, 'grant to watch made');
    return grant;
  }

  /** Takes it back: it is of no use any more, nor are tickets that were issued for it. @throws LabError `no-session` */
  async revokeGrant(ownerHash: string): Promise<Lease> {
    const mine = await this.settled(ownerHash);
    const amended = await this.amend(mine.id, { grant: null });
    this.log.info({ session: mine.id }, 'grant to watch taken back');
    return amended;
  }

  /** The session that this grant lets watch. */
  async findGranted(grant: string): Promise<Lease | undefined> {
    // While a pair is replaced by a fresh one, its session may have no lease for some seconds.
    if (!this.grantedLease(grant)) await Promise.allSettled(this.creating.values());
    return this.grantedLease(grant);
  }

  /** Whether, at this instant, the grant lets watch this session. */
  isGranted(sessionId: string, grant: string): boolean {
    return this.grantedLease(grant)?.id === sessionId;
  }

  /** Gives up the owner's session or place in the queue. @returns whether there was one */
  async leave(ownerHash: string): Promise<boolean> {
    const wasWaiting = this.queue.ask(ownerHash) !== undefined;
    this.queue.leave(ownerHash);
    const mine = (await this.creating.get(ownerHash)) ?? (await this.find(ownerHash));
    if (mine) await this.end(mine.id, 'by-learner');
    return wasWaiting || mine !== undefined;
  }

  /** Learners that will come: pairs are made ahead for those who have none yet. */
  announce(seats: number, forMs: number): void {
    this.announced = { seats, untilMs: Date.now() + forMs };
    this.log.info({ seats, forMs }, 'workshop announced');
    this.pool.fill();
  }

  /** Why this machine can run no pair at all; undefined when it can. */
  cannotRun(): LabError | undefined {
    if (!this.capacity || this.capacity.pairs > 0) return undefined;
    const needed = Math.ceil(this.capacity.pairBytes / 2 ** 20);
    return new LabError(
      'cannot-run',
      `This machine has not enough free memory for a pair, which may need ${needed} MiB.`,
      { hint: 'Lessons can be read without hosts. Whoever runs this server: npm run doctor tells more.' },
    );
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
      capacity: this.capacity,
      sessions: this.leases.size,
      pool: this.pool.size,
      poolReady: this.pool.readyCount,
      queue: this.queue.size,
    };
  }

  /** @param reason given to the pages of every session; undefined leaves the sessions and the pool running */
  async stop(reason: EndReason | undefined): Promise<void> {
    this.stopped = true;
    for (const timer of this.timers) clearInterval(timer);
    await Promise.all([this.reconciling, this.ticking]);
    await Promise.allSettled(this.creating.values());
    await this.pool.close(reason === undefined);
    if (reason) await Promise.all([...this.leases.keys()].map((id) => this.end(id, reason)));
  }

  private async end(sandboxId: string, reason: EndReason): Promise<void> {
    const lease = this.leases.get(sandboxId);
    await this.provider.stop(sandboxId, reason);
    if (lease) await this.settle(lease, reason, '');
  }

  /** Forgets a session that is over. */
  private async settle(lease: Lease, reason: EndReason | undefined, lastWords: string): Promise<void> {
    if (!this.leases.delete(lease.id)) return;
    await removeLease(this.config.stateDir, lease.id);
    const durationMs = Date.now() - lease.createdAtMs;
    if (reason !== 'reset') {
      this.durationsMs.push(durationMs);
      if (this.durationsMs.length > rememberedDurations) this.durationsMs.shift();
      this.ends.set(lease.ownerHash, endSentences[reason ?? 'crashed']);
      const [oldest] = this.ends.keys();
      if (this.ends.size > rememberedEnds && oldest !== undefined) this.ends.delete(oldest);
    }
    this.metrics.ended.inc({ reason: reason ?? 'crashed' });
    this.forget(lease.id);
    const told = { session: lease.id, lesson: lease.lessonId, reason: reason ?? 'crashed', durationMs };
    if (reason) this.log.info(told, 'session ended');
    else this.log.error({ ...told, lastWords }, 'session lost: its runner was killed or crashed');
  }

  private forget(sandboxId: string): void {
    this.memoryBytes.delete(sandboxId);
    if (!this.meter.forget(sandboxId)) return;
    const { stateDir } = this.config;
    writePairPeaks(stateDir, this.sources.baseTemplateDir, this.meter.peaks).catch((error: unknown) => {
      this.log.warn({ err: error }, 'what pairs cost was not written down');
    });
  }

  private requireRoomFor(address: string): void {
    const limit = this.config.maxSessionsPerAddress;
    const theirs = [...this.leases.values()].filter((lease) => lease.address === address).length;
    if (theirs + this.queue.countOf(address) < limit) return;
    throw new LabError(
      'too-many-sessions',
      `Your network address has ${limit} sessions or places in the queue already.`,
      { hint: 'End one of them, or try again when one has ended.' },
    );
  }

  private create(ownerHash: string, address: string, lessonId: string): Promise<Lease> {
    const running = this.creating.get(ownerHash);
    if (running) return running;
    const now = Date.now();
    const lease = {
      ownerHash,
      address,
      lessonId,
      accelerator: this.sources.accelerator,
      createdAtMs: now,
      endsAtMs: now + this.config.totalTimeoutMs,
      extensionsLeft: this.config.extensions,
      grant: null,
    };
    const created = this.acquire(lease, this.templateOf(lessonId)).finally(() => {
      this.creating.delete(ownerHash);
    });
    this.creating.set(ownerHash, created);
    return created;
  }

  private async replace(old: Lease): Promise<Lease> {
    const templateDir = this.templateOf(old.lessonId);
    const isSpare = this.pool.readyCount > 0 && templateDir === this.sources.baseTemplateDir;
    // Without a spare pair the old one has to make room first.
    if (!isSpare) await this.end(old.id, 'reset');
    const lease = await this.acquire(old, templateDir);
    if (isSpare) {
      const { grant } = this.leases.get(old.id) ?? old;
      // It was made or taken back while the fresh pair was on its way.
      if (grant !== lease.grant) await this.amend(lease.id, { grant });
      this.end(old.id, 'reset').catch((error: unknown) => {
        this.log.error({ err: error, session: old.id }, 'the pair that was replaced did not end');
      });
    }
    return lease;
  }

  /** Takes a pair and gives it to its learner. The lease is on disk before the runner knows of it: see adopt(). */
  private async acquire(terms: Omit<Lease, 'id'>, templateDir: string): Promise<Lease> {
    const begun = Date.now();
    let taken: string | undefined;
    try {
      if (!(await this.hasRoom()) && templateDir !== this.sources.baseTemplateDir) await this.pool.shrink();
      const { spec, wasReady } = await this.pool.take(templateDir);
      taken = spec.id;
      const lease: Lease = { ...terms, id: spec.id };
      await writeLease(this.config.stateDir, lease);
      await assign(this.provider, sessionInfo(lease));
      this.leases.set(lease.id, lease);
      this.metrics.acquireSeconds.observe({ warm: String(wasReady) }, (Date.now() - begun) / 1000);
      this.log.info(
        { session: lease.id, lesson: lease.lessonId, warm: wasReady, ms: Date.now() - begun },
        'session begins',
      );
      this.pool.fill();
      return lease;
    } catch (error) {
      const failure = LabError.from(error, 'No pair could be had');
      this.metrics.failures.inc({ code: failure.code });
      if (taken !== undefined) {
        await removeLease(this.config.stateDir, taken);
        await this.provider.stop(taken, 'host-lost');
      }
      throw failure;
    }
  }

  /** The owner's session when none of theirs is being made or replaced. @throws LabError `no-session` */
  private async settled(ownerHash: string): Promise<Lease> {
    const found = await this.find(ownerHash);
    const mine = (await this.creating.get(ownerHash)) ?? found;
    if (!mine) throw new LabError('no-session', 'You have no running session.');
    return mine;
  }

  /**
   * Changes a lease, here before on disk: of two changes at the same time none is lost, and what is taken back is gone at once.
   * @throws LabError `no-session` when it has ended
   */
  private async amend(id: string, change: Partial<Omit<Lease, 'id'>>): Promise<Lease> {
    const lease = this.leases.get(id);
    if (!lease) throw new LabError('no-session', 'Your session has ended.');
    const amended = { ...lease, ...change };
    this.leases.set(id, amended);
    await writeLease(this.config.stateDir, amended);
    return amended;
  }

  private grantedLease(grant: string): Lease | undefined {
    const asked = sha256(grant);
    return [...this.leases.values()].findLast(
      // By their hashes, so that the time which a comparison takes says nothing of the grant.
      (lease) => lease.grant !== null && timingSafeEqual(sha256(lease.grant), asked),
    );
  }

  /** While a pair is replaced by a fresh one, its owner has two. */
  private newestOf(ownerHash: string): Lease | undefined {
    return [...this.leases.values()].findLast((lease) => lease.ownerHash === ownerHash);
  }

  private templateOf(lessonId: string): string {
    return this.sources.lessonTemplateDirs.get(lessonId) ?? this.sources.baseTemplateDir;
  }

  /** Pairs that exist or are about to. */
  private get pairCount(): number {
    return this.leases.size + this.creating.size + this.pool.size;
  }

  private async hasRoom(): Promise<boolean> {
    await this.measure();
    return this.pairCount < (this.capacity?.pairs ?? 0);
  }

  private async canAcquire(): Promise<boolean> {
    return this.pool.size > 0 || (await this.hasRoom());
  }

  private async measure(): Promise<void> {
    this.capacity = this.meter.capacity(await availableMemoryBytes(), this.leases.size + this.pool.size);
  }

  /** When the learner at this place will have a pair, if sessions last as long as they did. */
  private estimateMs(place: number): number | null {
    const sorted = this.durationsMs.toSorted((a, b) => a - b);
    const usual = sorted[Math.floor(sorted.length / 2)];
    const now = Date.now();
    const left = [...this.leases.values()]
      .map((lease) => {
        const atLatest = lease.endsAtMs - now;
        const asUsual = usual === undefined ? atLatest : lease.createdAtMs + usual - now;
        // One that lasts longer than usual may end any time.
        return Math.max(0, Math.min(atLatest, Math.max(asUsual, 60_000)));
      })
      .toSorted((a, b) => a - b);
    if (left.length === 0) return null;
    // More in front than pairs: those at the front have to be through first.
    const rounds = Math.floor((place - 1) / left.length);
    return (left[(place - 1) % left.length] ?? 0) + rounds * (usual ?? this.config.totalTimeoutMs);
  }

  private tick(): Promise<void> {
    this.ticking ??= this.serveQueue()
      .catch((error: unknown) => {
        this.log.error({ err: error }, 'the queue could not be served');
      })
      .finally(() => {
        this.ticking = undefined;
      });
    return this.ticking;
  }

  private async serveQueue(): Promise<void> {
    await this.measure();
    while (!this.stopped && this.queue.size > 0 && (await this.canAcquire())) {
      const next = this.queue.take((entry) => this.mayHave(entry));
      if (!next) return;
      this.metrics.queueSeconds.observe((Date.now() - next.queuedAtMs) / 1000);
      try {
        await this.create(next.ownerHash, next.address, next.lessonId);
      } catch (error) {
        this.ends.set(next.ownerHash, LabError.from(error, 'Your pair could not be started').message);
        this.log.error({ err: error }, 'no pair for who was next');
      }
    }
    this.pool.fill();
  }

  private mayHave(entry: Waiting): boolean {
    const theirs = [...this.leases.values()].filter(({ address }) => address === entry.address).length;
    return theirs < this.config.maxSessionsPerAddress;
  }

  private reconcile(): Promise<void> {
    this.reconciling ??= this.lookAfter()
      .catch((error: unknown) => {
        this.log.error({ err: error }, 'reconcile failed');
      })
      .finally(() => {
        this.reconciling = undefined;
      });
    return this.reconciling;
  }

  /** Compares what there is with what should be: the dead are buried, the living get their lease. */
  private async lookAfter(): Promise<void> {
    const { running, ended } = await this.provider.list();
    for (const sandbox of ended) await this.reap(sandbox);
    const now = Date.now();
    await Promise.all(
      running.map(async ({ id }) => {
        const lease = this.leases.get(id);
        if (lease && now > lease.endsAtMs + overdueMs) {
          await this.end(id, 'total-time');
          return;
        }
        if (!lease && !this.pool.has(id)) return;
        try {
          const status = await renewLease(this.provider, id);
          this.meter.observe(id, status, now);
          this.memoryBytes.set(id, status.memoryBytes);
          if (!lease && status.phase === 'failed') {
            this.pool.forget(id);
            await this.provider.stop(id, 'host-lost');
          }
        } catch (error) {
          this.log.warn({ err: error, sandbox: id }, 'lease not renewed');
        }
      }),
    );
  }

  private async reap(sandbox: EndedSandbox): Promise<void> {
    this.pool.forget(sandbox.id);
    const lease = this.leases.get(sandbox.id);
    if (lease) await this.settle(lease, sandbox.reason, sandbox.lastWords);
    else this.log.info({ sandbox: sandbox.id, reason: sandbox.reason ?? 'crashed' }, 'remains removed');
  }

  /**
   * After a restart: each sandbox is its lease's; without a lease it goes to the pool, when it is of the template that is current.
   * A lease whose sandbox is gone is over. A server that was killed between lease and assignment is made up for here.
   */
  private async adopt(): Promise<void> {
    const { running, ended } = await this.provider.list();
    const leases = new Map((await listLeases(this.config.stateDir)).map((lease) => [lease.id, lease]));
    for (const lease of leases.values()) this.leases.set(lease.id, lease);
    for (const sandbox of ended) await this.reap(sandbox);
    for (const lease of leases.values()) {
      // Killed in the middle of a reset: one pair is enough.
      if (this.newestOf(lease.ownerHash) !== lease) await this.end(lease.id, 'reset');
    }
    for (const spec of running) {
      try {
        const lease = leases.get(spec.id);
        const status = await runnerStatus(this.provider, spec.id);
        if (lease) {
          if (status.lessonId === null) await assign(this.provider, sessionInfo(lease));
        } else if (this.isReusable(spec) && status.phase === 'ready' && status.lessonId === null) {
          this.pool.adopt(spec);
        } else {
          await this.provider.stop(spec.id, 'server-stopped');
        }
      } catch (error) {
        this.log.warn({ err: error, sandbox: spec.id }, 'not adopted');
        await this.end(spec.id, 'host-lost');
      }
    }
    const ids = new Set(running.map(({ id }) => id));
    for (const lease of leases.values()) if (!ids.has(lease.id)) await this.settle(lease, undefined, '');
  }

  private isReusable(spec: SandboxSpec): boolean {
    return spec.templateDir === this.sources.baseTemplateDir && spec.lessonsDir === this.sources.lessonsDir;
  }
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

/** What a learner whose session is gone is told. */
const endSentences: Record<EndReason | 'crashed', string> = {
  'by-learner': 'You ended your session.',
  reset: 'You asked for a fresh pair.',
  idle: 'Your session ended because nothing was typed for a long time.',
  disconnected: 'Your session ended because no page of it was open for a long time.',
  'total-time': 'The time of your session was used up.',
  'server-stopped': 'The server was stopped, and your session with it.',
  'host-lost': 'One of your hosts stopped running, and the session with it.',
  crashed: 'The process that ran your two hosts was killed or crashed, and they are gone.',
};
