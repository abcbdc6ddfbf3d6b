import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { LabError } from './errors';

const secret = 'ENOENT: no such file, open /srv/lab/leases/s3cret.json';

describe('LabError.from', () => {
  test.each([
    ['an error', new Error(secret)],
    ['an error with a cause', new Error('outer s3cret', { cause: new Error(secret) })],
    ['a text', secret],
    ['an object that pretends', { name: 'LabError', code: 'lost', message: secret, hint: secret }],
  ])('tells a browser nothing of %s', (_, thrown) => {
    const wire = LabError.from(thrown, 'Reading the lease').toWire();
    expect(wire).toEqual({
      code: 'internal',
      message: 'Reading the lease: an unexpected error.',
      hint: 'Try again. If it fails again, the server’s log says more.',
    });
  });

  test('keeps what was thrown for logs and command lines', () => {
    const thrown = new Error('The lease is unreadable.', { cause: new Error(secret) });
    const error = LabError.from(thrown, 'Reading the lease');
    expect(error.cause).toBe(thrown);
    expect(error.describe()).toBe(
      `Reading the lease: an unexpected error. Cause: The lease is unreadable.: ${secret}`,
    );
    expect(inspect(error)).toContain(secret);
    expect(LabError.from(secret, 'Reading the lease').describe()).toContain(secret);
  });

  test('passes our own errors through, whose message says what matters', () => {
    const error = new LabError('lost', 'The runner is gone.', {
      hint: 'Start again.',
      cause: new Error(secret),
    });
    expect(LabError.from(error, 'Reading the lease')).toBe(error);
    expect(error.describe()).toBe('The runner is gone.');
  });

  test('describes causes that go round in a circle', () => {
    const first = new Error('first');
    first.cause = new Error('second', { cause: first });
    expect(LabError.from(first, 'Trying').describe()).toBe(
      'Trying: an unexpected error. Cause: first: second',
    );
  });
});

test.each([{}, { hint: 'Start again.' }])('an error crosses a process as it is, with %o', (options) => {
  const error = new LabError('lost', 'The runner is gone.', { ...options, cause: new Error(secret) });
  const arrived = LabError.fromWire(error.toWire());
  expect(arrived).toMatchObject({ code: 'lost', message: 'The runner is gone.', hint: options.hint });
  expect(arrived.cause).toBeUndefined();
  expect(arrived.toWire()).toEqual(error.toWire());
});
