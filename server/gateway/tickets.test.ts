import { expect, test } from 'vitest';
import { ticketLifeMs, Tickets } from './tickets';

const holder = { sessionId: 'a', ownerHash: 'b' };

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
