import { expect, test } from 'vitest';
import { networkOf, RateLimits, retryAfterS } from './rate-limits';

const refused = expect.objectContaining({ code: 'too-many-requests' }) as Error;

async function countUntilRefused(count: () => Promise<void>, atMost: number): Promise<number> {
  for (let counted = 0; counted < atMost; counted++) {
    try {
      await count();
    } catch (error) {
      expect(error).toMatchObject({
        code: 'too-many-requests',
        hint: expect.stringMatching(/^Try again in \d+ s/) as string,
      });
      expect(retryAfterS((error as Error).cause)).toBeGreaterThan(0);
      return counted;
    }
  }
  return atMost;
}

test('one learner has an end, another from the same address goes on', async () => {
  const limits = new RateLimits(300);
  expect(await countUntilRefused(() => limits.count('pair', '192.0.2.1', 'a'), 100)).toBe(20);
  await limits.count('pair', '192.0.2.1', 'b');
  await limits.count('other', '192.0.2.1', 'a');
});

test('one address has an end however many learners it makes up; a workshop behind it fits', async () => {
  const limits = new RateLimits(300);
  let learner = 0;
  const counted = await countUntilRefused(() => limits.count('pair', '192.0.2.1', String(learner++)), 1000);
  expect(counted).toBe(600);
  await limits.count('pair', '192.0.2.2', '0');
  await expect(limits.count('pair', '192.0.2.1', undefined)).rejects.toEqual(refused);
});

test('a server for one seat lets that learner do what a learner may', async () => {
  const limits = new RateLimits(1);
  expect(await countUntilRefused(() => limits.count('other', '192.0.2.1', 'a'), 1000)).toBe(240);
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0DB8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::9', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['unknown', 'unknown'],
])('%s counts as %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
