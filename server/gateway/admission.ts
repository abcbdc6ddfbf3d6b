/** Whether there is room for one pair more, and who gets it: capacity, limits for each address, the queue and its estimate. */
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import type { RunnerStatus } from '../protocol/runner';
import { availableMemoryBytes, CapacityMeter, type Capacity } from './capacity';
import type { LeaseBook } from './lease-book';
import { Queue, type Waiting } from './queue';

/** Durations of past sessions that the queue's estimate is made from. */
const rememberedDurations = 50;

export class Admission {
  readonly queue: Queue;
  readonly #config: Config;
  readonly #book: LeaseBook;
  readonly #poolSize: () => number;
  readonly #durationsMs: number[] = [];
  /** Private memory of each sandbox, as its runner said last. */
  readonly #memoryBytes = new Map<string, number>();
  #meter: CapacityMeter;
  #capacity: Capacity | undefined;

  /** @param poolSize sandboxes in the pool, those included that are being made */
  constructor(config: Config, book: LeaseBook, poolSize: () => number) {
    this.#config = config;
    this.#book = book;
    this.#poolSize = poolSize;
    this.#meter = new CapacityMeter(config);
    this.queue = new Queue(
      config.queueGraceMs,
      (ownerHash) => void book.apply(ownerHash, { type: 'leave-queue' }),
    );
  }

  /** Begins with what pairs have cost before. @param peaks as the last server's {@link peaks} */
  startWith(peaks: number[]): void {
    this.#meter = new CapacityMeter(this.#config, peaks);
  }

  /** Most memory of each pair that learners had. */
  get peaks(): readonly number[] {
    return this.#meter.peaks;
  }

  /** As it was measured last; undefined before the first time. */
  get capacity(): Capacity | undefined {
    return this.#capacity;
  }

  get memoryBytes(): number {
    return [...this.#memoryBytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Counts again: another program may have taken memory. */
  async measure(): Promise<void> {
    const available = await availableMemoryBytes();
    this.#capacity = this.#meter.capacity(available, this.#book.sandboxes + this.#poolSize());
  }

  /** Takes in what a runner says of itself. */
  observe(sandboxId: string, status: RunnerStatus): void {
    this.#meter.observe(sandboxId, status, Date.now());
    this.#memoryBytes.set(sandboxId, status.memoryBytes);
  }

  /** A sandbox is gone. @returns whether {@link peaks} has changed */
  forget(sandboxId: string): boolean {
    this.#memoryBytes.delete(sandboxId);
    return this.#meter.forget(sandboxId);
  }

  /** Remembers how long a session was, for the estimates. */
  noteDuration(durationMs: number): void {
    this.#durationsMs.push(durationMs);
    if (this.#durationsMs.length > rememberedDurations) this.#durationsMs.shift();
  }

  /** Whether the machine holds one pair more than there are and will be, as of the last {@link measure}. */
  hasRoom(): boolean {
    const { sandboxes, untaken } = this.#book;
    return sandboxes + untaken + this.#poolSize() < (this.#capacity?.pairs ?? 0);
  }

  /** Whether one session more can have a pair: one of the pool that nobody else will take, or a new one. */
  canAdmit(): boolean {
    const { sandboxes, untaken } = this.#book;
    return untaken < this.#poolSize() || sandboxes + untaken < (this.#capacity?.pairs ?? 0);
  }

  /** Why this machine can run no pair at all; undefined when it can. */
  cannotRun(): LabError | undefined {
    if (!this.#capacity || this.#capacity.pairs > 0) return undefined;
    const needed = Math.ceil(this.#capacity.pairBytes / 2 ** 20);
    return new LabError(
      'cannot-run',
      `This machine cannot start hosts: a pair may need ${needed} MiB of memory, and less is free.`,
      {
        hint: 'You can read the lessons without hosts. If you run this server, npm run doctor tells you more.',
      },
    );
  }

  /** @throws LabError `too-many-sessions` when the address has as many sessions and queue positions as it may have */
  requireRoomFor(address: string): void {
    const limit = this.#config.maxSessionsPerAddress;
    if (this.#book.countOf(address) + this.queue.countOf(address) < limit) return;
    throw new LabError(
      'too-many-sessions',
      `Your network address already has ${limit} sessions or queue positions, the most that it may have.`,
      { hint: 'End one of the sessions, or try again when one has ended.' },
    );
  }

  /** Takes the last position in the queue, or keeps the learner's own. @throws LabError `no-capacity` when the queue is full */
  join(ownerHash: string, address: string, lessonId: string): void {
    const isWaiting = this.queue.ask(ownerHash) !== undefined;
    if (!isWaiting && this.queue.size >= this.#config.maxQueue) {
      throw new LabError('no-capacity', 'All pairs are in use, and the queue for them is full.', {
        hint: 'Try again in some minutes. Until then you can read the lesson without hosts.',
      });
    }
    if (!isWaiting) void this.#book.apply(ownerHash, { type: 'join' });
    this.queue.join(ownerHash, address, lessonId);
  }

  /** Gives a position in the queue up. @returns whether there was one */
  leave(ownerHash: string): boolean {
    const wasWaiting = this.queue.ask(ownerHash) !== undefined;
    if (wasWaiting) void this.#book.apply(ownerHash, { type: 'leave-queue' });
    this.queue.leave(ownerHash);
    return wasWaiting;
  }

  /** Takes the first in the queue who may have a session now. The caller begins it before it awaits anything. */
  takeNext(): Waiting | undefined {
    if (this.queue.size === 0 || !this.canAdmit()) return undefined;
    return this.queue.take(({ address }) => this.#book.countOf(address) < this.#config.maxSessionsPerAddress);
  }

  /**
   * When the learner at this position will have a pair, if sessions last as long as they did.
   * @returns milliseconds from now; null when no session runs to judge by
   */
  estimateMs(position: number): number | null {
    const sorted = this.#durationsMs.toSorted((a, b) => a - b);
    const usual = sorted[Math.floor(sorted.length / 2)];
    const now = Date.now();
    const left = this.#book
      .leases()
      .map((lease) => {
        const atLatest = lease.endsAtMs - now;
        const asUsual = usual === undefined ? atLatest : lease.createdAtMs + usual - now;
        // A session that lasts longer than usual may end any time.
        return Math.max(0, Math.min(atLatest, Math.max(asUsual, 60_000)));
      })
      .toSorted((a, b) => a - b);
    if (left.length === 0) return null;
    // With more learners in front than pairs, those at the front have to be through first.
    const rounds = Math.floor((position - 1) / left.length);
    return (left[(position - 1) % left.length] ?? 0) + rounds * (usual ?? this.#config.totalTimeoutMs);
  }
}
