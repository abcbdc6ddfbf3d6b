import { randomBytes } from 'node:crypto';

/** Long enough for one WebSocket handshake on a slow network. */
export const ticketLifeMs = 30_000;
/** Tickets that may wait at once; the oldest go first, so that asking without end costs only the asker. */
const maxTickets = 10_000;

export interface TicketHolder {
  sessionId: string;
  ownerHash: string;
}

/** Single-use keys that open one WebSocket each, because a browser cannot put headers on one. */
export class Tickets {
  private readonly waiting = new Map<string, TicketHolder & { expiresAtMs: number }>();

  constructor(private readonly now: () => number = Date.now) {}

  issue(holder: TicketHolder): string {
    const [oldest] = this.waiting.keys();
    if (this.waiting.size >= maxTickets && oldest !== undefined) this.waiting.delete(oldest);
    const ticket = randomBytes(24).toString('base64url');
    this.waiting.set(ticket, { ...holder, expiresAtMs: this.now() + ticketLifeMs });
    return ticket;
  }

  /** @returns whom the ticket was issued to, once; undefined when it is unknown, used or too old */
  redeem(ticket: string): TicketHolder | undefined {
    const found = this.waiting.get(ticket);
    this.waiting.delete(ticket);
    if (!found || found.expiresAtMs < this.now()) return undefined;
    return { sessionId: found.sessionId, ownerHash: found.ownerHash };
  }
}
