/** What ends a sandbox: no lease, a lost pair, the session's end, no input, no page. All times are Unix milliseconds. */
import type { EndReason } from '../protocol/session';
import type { SandboxSpec } from '../store/sandboxes';

/** A lost pair keeps its session this long, so that the page can tell what happened. */
const lostGraceMs = 120_000;
const intervalMs = 1000;

export type Limits = Pick<
  SandboxSpec,
  'leaseMs' | 'idleTimeoutMs' | 'disconnectedTimeoutMs' | 'endWarningMs'
>;

/** What the deadlines are counted from. */
export interface Times {
  /** The gateway last renewed the lease. */
  readonly renewedMs: number;
  /** When the pair was lost; absent while it is not. */
  readonly lostMs?: number;
  /** Absent while the sandbox is nobody's. */
  readonly session?: {
    /** When it ends whatever happens. */
    readonly endsAtMs: number;
    /** The learner last did something. */
    readonly activeMs: number;
    /** When the last page of the owner left. Null while one is open. */
    readonly leftMs: number | null;
  };
}

export type Verdict = { readonly ends: EndReason } | { readonly ends: null; readonly isIdleEndNear: boolean };

/** What ends now, or whether the learner is to be warned. */
export function judge(nowMs: number, { renewedMs, lostMs, session }: Times, limits: Limits): Verdict {
  if (nowMs - renewedMs > limits.leaseMs) return { ends: 'server-stopped' };
  if (lostMs !== undefined && nowMs - lostMs > lostGraceMs) return { ends: 'host-lost' };
  if (!session) return { ends: null, isIdleEndNear: false };
  if (nowMs >= session.endsAtMs) return { ends: 'total-time' };
  if (nowMs - session.activeMs > limits.idleTimeoutMs) return { ends: 'idle' };
  if (session.leftMs !== null && nowMs - session.leftMs > limits.disconnectedTimeoutMs) {
    return { ends: 'disconnected' };
  }
  return { ends: null, isIdleEndNear: idleEndsAtMs(nowMs, session.activeMs, limits) !== null };
}

/** When the session ends for want of input. Null while that is far off. */
function idleEndsAtMs(nowMs: number, activeMs: number, limits: Limits): number | null {
  const endsAtMs = activeMs + limits.idleTimeoutMs;
  return endsAtMs - nowMs < limits.endWarningMs ? endsAtMs : null;
}

export interface DeadlineEvents {
  /** What only the sandbox knows. */
  state(): { lostMs?: number; endsAtMs?: number; hasPage: boolean };
  /** Called again every second until the signal of {@link Deadlines.watch} aborts. */
  onEnd(reason: EndReason): void;
  /** The warning that the session will end for want of input begins, or is over. */
  onWarning(): void;
}

/** Keeps the times, and judges them every second. */
export class Deadlines {
  readonly #limits: Limits;
  readonly #events: DeadlineEvents;
  #activeMs = Date.now();
  #leftMs = Date.now();
  #renewedMs = Date.now();
  #isWarning = false;

  constructor(limits: Limits, events: DeadlineEvents) {
    this.#limits = limits;
    this.#events = events;
  }

  /** The learner last did something. */
  get activeMs(): number {
    return this.#activeMs;
  }

  get idleEndsAtMs(): number | null {
    return idleEndsAtMs(Date.now(), this.#activeMs, this.#limits);
  }

  /** A session begins. */
  restart(): void {
    this.#activeMs = this.#leftMs = Date.now();
  }

  renewLease(): void {
    this.#renewedMs = Date.now();
  }

  /** The learner did something. */
  noteActivity(): void {
    this.#activeMs = Date.now();
    if (this.#isWarning) this.#look();
  }

  /** A page of the owner's has left. */
  pageLeft(): void {
    this.#leftMs = Date.now();
  }

  /** Watches until the signal aborts. */
  watch(signal: AbortSignal): void {
    const timer = setInterval(() => {
      this.#look();
    }, intervalMs);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
    });
  }

  #look(): void {
    const { lostMs, endsAtMs, hasPage } = this.#events.state();
    const verdict = judge(
      Date.now(),
      {
        renewedMs: this.#renewedMs,
        ...(lostMs === undefined ? {} : { lostMs }),
        ...(endsAtMs === undefined
          ? {}
          : { session: { endsAtMs, activeMs: this.#activeMs, leftMs: hasPage ? null : this.#leftMs } }),
      },
      this.#limits,
    );
    if (verdict.ends !== null) {
      this.#events.onEnd(verdict.ends);
    } else if (verdict.isIdleEndNear !== this.#isWarning) {
      this.#isWarning = verdict.isIdleEndNear;
      this.#events.onWarning();
    }
  }
}
