/**
 * What a learner's session can be, and what may follow what. Everything here is pure: lease-book.ts keeps the states, and the
 * rest of this folder does what they say.
 *
 *     none ── join ──▶ queued ── begin ──▶ creating ── take, assigned ──▶ active ── end ──▶ ended
 *                                                                        │    ▲
 *                                                                 replace│    │take, assigned
 *                                                                        ▼    │
 *                                                                       replacing
 *
 * A learner whose session ended, or who has none, may also begin one without the queue. `failed` leads from `creating` to
 * `ended`, and from `replacing` back to the old sandbox while there is one.
 */
import type { Lease } from '../store/leases';

/** A lease whose sandbox is there. */
export type HeldLease = Lease & { sandboxId: string };

/**
 * A session that waits for a sandbox. `next` is the sandbox that was taken for it and is not assigned to it yet; `lease.sandboxId`
 * is the one that it still has.
 */
interface Changing {
  lease: Lease;
  next: string | null;
}

/** The state of one learner. */
export type SessionState =
  | { phase: 'none' }
  | { phase: 'queued' }
  | ({ phase: 'creating' } & Changing)
  | { phase: 'active'; lease: HeldLease }
  | ({ phase: 'replacing' } & Changing)
  | {
      phase: 'ended';
      /** Why, as a sentence for the learner. */
      why: string;
    };

export type SessionEvent =
  /** The learner waits for a pair. */
  | { type: 'join' }
  /** The learner waits no longer, or the page was not heard of for too long. */
  | { type: 'leave-queue' }
  /** A sandbox will be looked for; the lease has none yet. */
  | { type: 'begin'; lease: Lease & { sandboxId: null } }
  /** A session outlived the last gateway. */
  | { type: 'adopt'; lease: Lease }
  /** The session is to have another sandbox. */
  | { type: 'replace' }
  /** The session gives up the sandbox that it had: it is gone, or has to make room. */
  | { type: 'vacate' }
  /** A sandbox was found for the session. */
  | { type: 'take'; sandboxId: string }
  /** The runner of that sandbox knows its session. */
  | { type: 'assigned' }
  /** No sandbox was found, or its runner refused. */
  | { type: 'failed'; why: string }
  /** Terms of the lease have changed. */
  | { type: 'amend'; change: Partial<Pick<Lease, 'endsAtMs' | 'extensionsLeft' | 'grant'>> }
  | { type: 'end'; why: string };

/** The state that follows. @throws Error when the event cannot happen in this state, which is a defect of the caller */
export function transition(state: SessionState, event: SessionEvent): SessionState {
  switch (event.type) {
    case 'join':
      if (hasNoSession(state)) return { phase: 'queued' };
      break;
    case 'leave-queue':
      if (state.phase === 'queued') return { phase: 'none' };
      break;
    case 'begin':
      if (hasNoSession(state)) return { phase: 'creating', lease: event.lease, next: null };
      break;
    case 'adopt':
      if (state.phase !== 'none') break;
      return isHeld(event.lease)
        ? { phase: 'active', lease: event.lease }
        : { phase: 'replacing', lease: event.lease, next: null };
    case 'replace':
      if (state.phase === 'active') return { phase: 'replacing', lease: state.lease, next: null };
      break;
    case 'vacate':
      if (state.phase === 'replacing') return { ...state, lease: { ...state.lease, sandboxId: null } };
      break;
    case 'take':
      if (isChanging(state) && state.next === null) return { ...state, next: event.sandboxId };
      break;
    case 'assigned':
      if (!isChanging(state) || state.next === null) break;
      return { phase: 'active', lease: { ...state.lease, sandboxId: state.next } };
    case 'failed':
      if (!isChanging(state)) break;
      return isHeld(state.lease)
        ? { phase: 'active', lease: state.lease }
        : { phase: 'ended', why: event.why };
    case 'amend':
      if (state.phase === 'active') return { ...state, lease: { ...state.lease, ...event.change } };
      if (state.phase === 'replacing') return { ...state, lease: { ...state.lease, ...event.change } };
      break;
    case 'end':
      if (state.phase === 'active') return { phase: 'ended', why: event.why };
      break;
  }
  throw new Error(`The event ${event.type} cannot follow the state ${state.phase}.`);
}

/** Whether the learner neither has a session nor gets one just now. */
export const hasNoSession = (state: SessionState): boolean =>
  state.phase === 'none' || state.phase === 'queued' || state.phase === 'ended';

/** Whether a sandbox is being found for the session. */
export const isChanging = (
  state: SessionState,
): state is Extract<SessionState, { phase: 'creating' | 'replacing' }> =>
  state.phase === 'creating' || state.phase === 'replacing';

export const isHeld = (lease: Lease): lease is HeldLease => lease.sandboxId !== null;

/** The lease of a session that has begun. One that is being created has none that anybody may use. */
export const leaseOf = (state: SessionState): Lease | undefined =>
  state.phase === 'active' || state.phase === 'replacing' ? state.lease : undefined;

/**
 * The lease as the next gateway must find it on disk; undefined when it must find none. It names a sandbox before the sandbox's
 * runner knows of the session: a gateway that is killed in between leaves a lease to assign, and no sandbox of two sessions.
 */
export function leaseOnDisk(state: SessionState): Lease | undefined {
  switch (state.phase) {
    case 'none':
    case 'queued':
    case 'ended':
      return undefined;
    case 'creating':
      return state.next === null ? undefined : { ...state.lease, sandboxId: state.next };
    case 'active':
      return state.lease;
    case 'replacing':
      return { ...state.lease, sandboxId: state.next ?? state.lease.sandboxId };
  }
}

/** Ids of all sandboxes that the session has or has taken. */
export function sandboxesOf(state: SessionState): string[] {
  if (state.phase === 'active') return [state.lease.sandboxId];
  if (!isChanging(state)) return [];
  return [state.lease.sandboxId, state.next].filter((id) => id !== null);
}

/**
 * Keeps one lease for each learner of those that a starting gateway finds. A learner has two when an earlier version was killed in
 * the middle of a reset. @param running ids of the sandboxes that run
 */
export function oneLeaseEach(
  leases: readonly Lease[],
  running: ReadonlySet<string>,
): { kept: Lease[]; surplus: Lease[] } {
  const kept = new Map<string, Lease>();
  const surplus: Lease[] = [];
  const runs = (lease: Lease): boolean => lease.sandboxId !== null && running.has(lease.sandboxId);
  for (const lease of leases) {
    const other = kept.get(lease.ownerHash);
    if (other && runs(other) && !runs(lease)) {
      surplus.push(lease);
    } else {
      if (other) surplus.push(other);
      kept.set(lease.ownerHash, lease);
    }
  }
  return { kept: [...kept.values()], surplus };
}
