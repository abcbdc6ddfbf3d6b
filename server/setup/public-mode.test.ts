import { describe, expect, test } from 'vitest';
import { LabError } from '../protocol/errors';
import { publicModeProblems, requireSafeForPublic, type PublicModeFacts } from './public-mode';

const safe: PublicModeFacts = {
  config: { publicMode: true, publicOrigin: 'https://lab.example', host: '0.0.0.0' },
  accelerator: 'kvm',
  acceleratorReason: '',
  isolation: {
    level: 'full',
    namespaces: true,
    ownUser: true,
    limits: ['memory', 'cpu', 'pids', 'io'],
    missing: [],
  },
};

test('a machine that meets every condition may be public', () => {
  expect(publicModeProblems(safe)).toEqual([]);
  requireSafeForPublic(safe);
});

describe('plain HTTP', () => {
  test.each([
    ['127.0.0.1', undefined, true],
    ['127.1.2.3', 'http://lab.example', true],
    ['::1', undefined, true],
    ['localhost', undefined, true],
    ['0.0.0.0', undefined, false],
    ['::', 'http://lab.example', false],
    ['192.0.2.1', 'http://lab.example', false],
    ['192.0.2.1', 'https://lab.example', true],
  ])('on %s with origin %s is allowed: %s', (host, publicOrigin, isAllowed) => {
    const problems = publicModeProblems({ ...safe, config: { publicMode: true, host, publicOrigin } });
    expect(problems.length === 0).toBe(isAllowed);
  });
});

test('one error lists everything that is unsafe', () => {
  const unsafe: PublicModeFacts = {
    config: { publicMode: true, publicOrigin: undefined, host: '0.0.0.0' },
    accelerator: 'tcg',
    acceleratorReason: 'There is no /dev/kvm.',
    isolation: {
      level: 'partial',
      namespaces: true,
      ownUser: false,
      limits: [],
      missing: [
        { what: 'No own user.', fix: '' },
        { what: 'No limits.', fix: '' },
      ],
    },
  };
  expect(publicModeProblems(unsafe)).toHaveLength(4);
  let thrown: unknown;
  try {
    requireSafeForPublic(unsafe);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(LabError);
  expect(thrown).toMatchObject({ code: 'unsafe' });
  expect((thrown as LabError).message).toMatch(/TCG.*no \/dev\/kvm[^]*No own user[^]*No limits[^]*HTTPS/);
  requireSafeForPublic({ ...unsafe, config: { ...unsafe.config, publicMode: false } });
});
