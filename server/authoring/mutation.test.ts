import { expect, test } from 'vitest';
import type { Learner } from '../client/learner';
import type { Lesson } from '../lessons/lesson';
import type { ServerMessage } from '../protocol/messages';
import { isNoticed, type MutationOutcome } from './mutation';
import { Rehearsal } from './rehearsal';

const outcome: MutationOutcome = { stepId: 'one', loss: undefined, nextFailed: false, checks: ['passed'] };

test.each<[string, Partial<MutationOutcome>, boolean]>([
  ['all checks pass', { checks: ['passed', 'passed'] }, false],
  ['the check of the step is open', { checks: ['open', 'passed'] }, true],
  ['the check of the next step is open', { checks: ['passed', 'open'] }, true],
  ['a command of the next step fails', { nextFailed: true, checks: [] }, true],
])('%s', (_name, seen, noticed) => {
  expect(isNoticed({ ...outcome, ...seen })).toBe(noticed);
});

test.each<[string, Partial<MutationOutcome>]>([
  ['while a command ran', { nextFailed: true, checks: [] }],
  ['while a check ran', { checks: ['open'] }],
  ['after every check passed', {}],
])('a pair that is lost is an error, not a step that was noticed: %s', (_name, seen) => {
  expect(() => isNoticed({ ...outcome, ...seen, loss: 'QEMU has ended.' })).toThrow(
    expect.objectContaining({
      code: 'lost',
      message: 'The hosts were lost while the test left out the step `one`: QEMU has ended.',
    }),
  );
});

test.each<[string, ServerMessage[], number | undefined, string | undefined]>([
  [
    'nothing while they run',
    [{ type: 'pair', pair: { phase: 'ready', elapsedMs: 1 } }],
    undefined,
    undefined,
  ],
  [
    'what the runner says of its pair',
    [
      {
        type: 'pair',
        pair: { phase: 'failed', elapsedMs: 1, error: { code: 'lost', message: 'QEMU has ended.' } },
      },
      { type: 'ended', reason: 'host-lost' },
    ],
    1000,
    'QEMU has ended.',
  ],
  [
    'why the session ended',
    [{ type: 'ended', reason: 'by-learner' }],
    1000,
    'The session has ended (by-learner).',
  ],
  ['that the connection is closed', [], 1006, 'The connection was closed with code 1006.'],
])('a rehearsal tells why its hosts are gone: %s', (_name, messages, closeCode, loss) => {
  const learner: Pick<Learner, 'closeCode' | 'latest'> = {
    closeCode,
    latest: (type) => messages.findLast((message) => message.type === type) as never,
  };
  expect(new Rehearsal(learner as Learner, {} as Lesson).loss()).toBe(loss);
});
