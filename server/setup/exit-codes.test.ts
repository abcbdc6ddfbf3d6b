import { expect, test } from 'vitest';
import { exitCodeFor } from './exit-codes.mjs';

test('exit codes that docs/operation.md documents', () => {
  const codes = ['bad-config', 'missing-tool', 'disk-full', 'port-in-use', 'build-failed', 'lost'] as const;
  expect(codes.map(exitCodeFor)).toEqual([2, 3, 4, 5, 6, 1]);
  expect([exitCodeFor('internal'), exitCodeFor('cancelled')]).toEqual([70, 130]);
});
