import { randomBytes } from 'node:crypto';

/** Long enough for one WebSocket handshake on a slow network. */
export const ticketLifeMs = 30_000;
/** Tickets that may wait at once. The oldest are dropped first, so a client that asks without end harms itself most. */
const maxTickets = 10_000;

/** Whom a ticket is for, for which session, and in which role. All of it is checked again when the ticket is used. */
export type TicketHolder =
  | { role: 'owner'; sessionId: string; ownerHash: string }
  /** Anybody who has the grant. */
  | { role: 'viewer'; sessionId: string; grant: string };

/** Single-use keys that open one WebSocket each, because a browser cannot put headers on one. */
export class Tickets {
  readonly #now: () => number;
  readonly #waiting = new Map<string, { holder: TicketHolder; expiresAtMs: number }>();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  issue(holder: TicketHolder): string {
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size >= maxTickets && oldest !== undefined) this.#waiting.delete(oldest);
    const ticket = randomBytes(24).toString('base64url');
    this.#waiting.set(ticket, { holder, expiresAtMs: this.#now() + ticketLifeMs });
    return ticket;
  }

  /** @returns whom the ticket was issued to, once; undefined when it is unknown, used or too old */
  redeem(ticket: string): TicketHolder | undefined {
    const found = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    return found && found.expiresAtMs >= this.#now() ? found.holder : undefined;
  }
}
