/** How much one learner and one network address may ask of the gateway. */
import { isIPv6 } from 'node:net';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { LabError } from '../protocol/errors';

/** `pair`: starts two virtual machines; `other`: anything else that changes something, tickets most of all. */
export type RequestKind = 'pair' | 'other';

/**
 * Limits for one learner. A learner takes a pair or two an hour and resets some; twenty in ten minutes is no learning any more.
 * A page that reconnects after each cut of a bad network asks for some ten tickets a minute, and one learner may have several.
 */
const perLearner = {
  pair: { points: 20, duration: 600 },
  other: { points: 240, duration: 60 },
} as const;

/** A whole workshop comes from one address, and all of it at once when the gateway was restarted: this often for each seat. */
const perSeat = { pair: 2, other: 20 } as const;

/**
 * The network that an address counts as. An IPv6 customer has at least a /64 (RFC 6177), so each /64 is one; IPv4 within IPv6
 * counts as IPv4.
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [front = [], back = []] = address
    .replace(/%.*/, '')
    .split('::')
    .map((half) => half.split(':').filter(Boolean));
  const zeros = Array<string>(Math.max(0, 8 - front.length - back.length)).fill('0');
  const groups = [...front, ...zeros, ...back].slice(0, 4).map((group) => Number.parseInt(group, 16));
  return `${groups.map((group) => group.toString(16)).join(':')}::/64`;
}

export class RateLimits {
  readonly #limiters: Record<RequestKind, { learner: RateLimiterMemory; address: RateLimiterMemory }>;

  /** @param seats learners that one address may bring */
  constructor(seats: number) {
    const limiters = (kind: RequestKind) => ({
      learner: new RateLimiterMemory(perLearner[kind]),
      address: new RateLimiterMemory({
        ...perLearner[kind],
        points: Math.max(perLearner[kind].points, perSeat[kind] * seats),
      }),
    });
    this.#limiters = { pair: limiters('pair'), other: limiters('other') };
  }

  /**
   * Counts one request.
   * @param learner undefined for a learner without a cookie, and for requests that need none
   * @throws LabError `too-many-requests`; its cause says when to ask again
   */
  async count(kind: RequestKind, address: string, learner: string | undefined): Promise<void> {
    const limiters = this.#limiters[kind];
    try {
      // The address first: a client can make up learners, and without this bound each would be kept for a while.
      await limiters.address.consume(address);
      if (learner !== undefined) await limiters.learner.consume(learner);
    } catch (cause) {
      const seconds = retryAfterS(cause);
      if (seconds === undefined) throw cause;
      throw new LabError('too-many-requests', 'You sent too many requests in a short time.', {
        hint: `Try again in ${seconds} s.`,
        cause,
      });
    }
  }
}

/** Seconds until a request that was refused may be made again; undefined when something else was thrown. */
export const retryAfterS = (thrown: unknown): number | undefined =>
  thrown instanceof RateLimiterRes ? Math.ceil(thrown.msBeforeNext / 1000) : undefined;
