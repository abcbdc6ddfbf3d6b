import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { LabError } from './errors';

const secret = 'ENOENT: no such file, open /srv/lab/leases/s3cret.json';

describe('LabError.from', () => {
  test.each([
    ['an error', new Error(secret)],
    ['an error with a cause', new Error('outer s3cret', { cause: new Error(secret) })],
    ['a string', secret],
    ['an object that imitates a LabError', { name: 'LabError', code: 'lost', message: secret, hint: secret }],
  ])('hides %s from browsers', (_, thrown) => {
    const wire = LabError.from(thrown, 'Reading the lease').toWire();
    expect(wire).toEqual({
      code: 'internal',
      message: 'Reading the lease: an unexpected error.',
      hint: 'Try again. If it fails again, the server’s log says more.',
    });
  });

  test('keeps the thrown value for logs and command lines', () => {
    const thrown = new Error('The lease is unreadable.', { cause: new Error(secret) });
    const error = LabError.from(thrown, 'Reading the lease');
    expect(error.cause).toBe(thrown);
    expect(error.describe()).toBe(
      `Reading the lease: an unexpected error. Cause: The lease is unreadable.: ${secret}`,
    );
    expect(inspect(error)).toContain(secret);
    expect(LabError.from(secret, 'Reading the lease').describe()).toContain(secret);
  });

  test('passes a LabError through', () => {
    const error = new LabError('lost', 'The runner is gone.', {
      hint: 'Start again.',
      cause: new Error(secret),
    });
    expect(LabError.from(error, 'Reading the lease')).toBe(error);
    expect(error.describe()).toBe('The runner is gone.');
  });

  test('describes causes that form a cycle', () => {
    const first = new Error('first');
    first.cause = new Error('second', { cause: first });
    expect(LabError.from(first, 'Trying').describe()).toBe(
      'Trying: an unexpected error. Cause: first: second',
    );
  });
});

test.each([{}, { hint: 'Start again.' }])('an error crosses processes unchanged, with %o', (options) => {
  const error = new LabError('lost', 'The runner is gone.', { ...options, cause: new Error(secret) });
  const arrived = LabError.fromWire(error.toWire());
  expect(arrived).toMatchObject({ code: 'lost', message: 'The runner is gone.', hint: options.hint });
  expect(arrived.cause).toBeUndefined();
  expect(arrived.toWire()).toEqual(error.toWire());
});
