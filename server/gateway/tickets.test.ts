import { expect, test } from 'vitest';
import { ticketLifeMs, Tickets, type TicketHolder } from './tickets';

const holder: TicketHolder = { role: 'owner', sessionId: 'a', ownerHash: 'b' };

test('a ticket opens one socket only', () => {
  const tickets = new Tickets();
  const ticket = tickets.issue(holder);
  expect(tickets.redeem(ticket)).toEqual(holder);
  expect(tickets.redeem(ticket)).toBeUndefined();
});

test('a ticket that is too old opens none', () => {
  let now = 0;
  const tickets = new Tickets(() => now);
  const early = tickets.issue(holder);
  const late = tickets.issue(holder);
  now = ticketLifeMs;
  expect(tickets.redeem(early)).toEqual(holder);
  now += 1;
  expect(tickets.redeem(late)).toBeUndefined();
});

test('a guessed ticket opens none', () => {
  const tickets = new Tickets();
  tickets.issue(holder);
  expect(tickets.redeem('')).toBeUndefined();
  expect(tickets.redeem('a'.repeat(32))).toBeUndefined();
});

test('who asks without end throws out their own tickets first', () => {
  const tickets = new Tickets();
  const first = tickets.issue(holder);
  const second = tickets.issue(holder);
  for (let asked = 0; asked < 9_999; asked++) tickets.issue(holder);
  expect(tickets.redeem(first)).toBeUndefined();
  expect(tickets.redeem(second)).toEqual(holder);
});
