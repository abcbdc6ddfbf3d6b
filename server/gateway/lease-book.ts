/**
 * Which learner has which session, in memory and on disk. All changes of a state go through {@link LeaseBook.apply}; the store is
 * the only part that would have to be shared for two gateways to share their sessions.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Lease, LeaseStore } from '../store/leases';
import {
  isChanging,
  leaseOf,
  leaseOnDisk,
  sandboxesOf,
  transition,
  type SessionEvent,
  type SessionState,
} from './session-state';

/** Learners whose session's end is remembered for their next question. */
const rememberedEnds = 1000;

const none: SessionState = { phase: 'none' };

export class LeaseBook {
  readonly #store: LeaseStore;
  /** By owner; who has none is not in it. */
  readonly #states = new Map<string, SessionState>();
  /** The last write of each session's file that is under way, so that they reach the disk in order. */
  readonly #writes = new Map<string, Promise<void>>();
  /** Sandboxes that belonged to sessions and are being stopped. */
  readonly retiring = new Set<string>();

  constructor(store: LeaseStore) {
    this.#store = store;
  }

  state(ownerHash: string): SessionState {
    return this.#states.get(ownerHash) ?? none;
  }

  /**
   * Changes a learner's state: in memory at once, so that no two changes overlook one another, then on disk.
   * @returns when the disk says so too; at once when the change is none of the lease
   * @throws Error when the event cannot happen now
   */
  apply(ownerHash: string, event: SessionEvent): Promise<void> {
    const before = this.state(ownerHash);
    const after = transition(before, event);
    this.#states.delete(ownerHash);
    if (after.phase !== 'none') this.#states.set(ownerHash, after);
    if (after.phase === 'ended') this.#forgetOldEnds();
    const old = leaseOnDisk(before);
    const lease = leaseOnDisk(after);
    if (lease === undefined)
      return old ? this.#write(old.id, () => this.#store.remove(old.id)) : Promise.resolve();
    if (JSON.stringify(old) === JSON.stringify(lease)) return Promise.resolve();
    return this.#write(lease.id, () => this.#store.write(lease));
  }

  /** All that the last gateway left on disk. */
  stored(): Promise<Lease[]> {
    return this.#store.list();
  }

  /** Removes a lease that no state came of. */
  discard(sessionId: string): Promise<void> {
    return this.#write(sessionId, () => this.#store.remove(sessionId));
  }

  /** Leases of the sessions that run. */
  leases(): Lease[] {
    return [...this.#states.values()].flatMap((state) => leaseOf(state) ?? []);
  }

  lease(sessionId: string): Lease | undefined {
    return this.leases().find(({ id }) => id === sessionId);
  }

  /** Whose sandbox this is, or will be in a moment. */
  holder(sandboxId: string): { ownerHash: string; state: SessionState } | undefined {
    for (const [ownerHash, state] of this.#states) {
      if (sandboxesOf(state).includes(sandboxId)) return { ownerHash, state };
    }
    return undefined;
  }

  /** The session that this grant lets watch. */
  granted(grant: string): Lease | undefined {
    const asked = sha256(grant);
    // By their hashes, so that the time of a comparison says nothing of the grant.
    return this.leases().find((lease) => lease.grant !== null && timingSafeEqual(sha256(lease.grant), asked));
  }

  /** Sessions that run or are being created. */
  get count(): number {
    return this.leases().length + this.#count((state) => state.phase === 'creating');
  }

  /** Sessions that run or are being created for one network address. */
  countOf(address: string): number {
    const creating = this.#count((state) => state.phase === 'creating' && state.lease.address === address);
    return this.leases().filter((lease) => lease.address === address).length + creating;
  }

  /** Sandboxes that sessions have or are giving back. */
  get sandboxes(): number {
    const held = [...this.#states.values()].reduce((sum, state) => sum + sandboxesOf(state).length, 0);
    return held + this.retiring.size;
  }

  /** Sessions that will take a sandbox and have not yet. */
  get untaken(): number {
    return this.#count((state) => isChanging(state) && state.next === null);
  }

  #count(matches: (state: SessionState) => boolean): number {
    return [...this.#states.values()].filter(matches).length;
  }

  #forgetOldEnds(): void {
    const ended = [...this.#states].filter(([, state]) => state.phase === 'ended');
    for (const [ownerHash] of ended.slice(0, -rememberedEnds)) this.#states.delete(ownerHash);
  }

  #write(sessionId: string, change: () => Promise<void>): Promise<void> {
    const before = this.#writes.get(sessionId) ?? Promise.resolve();
    // A write that failed is its own caller's to tell.
    const written = before.then(change, change);
    this.#writes.set(sessionId, written);
    const forget = (): void => {
      if (this.#writes.get(sessionId) === written) this.#writes.delete(sessionId);
    };
    written.then(forget, forget);
    return written;
  }
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
