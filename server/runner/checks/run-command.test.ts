import { expect, test } from 'vitest';
import type { Run } from '../../lessons/lesson';
import { loadLesson } from '../../lessons/load';
import { LabError } from '../../protocol/errors';
import { commandOf } from './run-command';

const lesson = await loadLesson('lessons', 'live-migration');
const [step] = lesson.steps;
if (!step) throw new Error('The lesson has no step.');
const run: Run = {
  host: 'source',
  text: 'kill <pid> < <file>',
  line: 1,
  terminal: 1,
  exit: 0,
  background: false,
};
const small = {
  ...lesson,
  values: [{ host: 'source' as const, text: 'pid', line: 1, name: 'pid' }],
  steps: [{ ...step, id: 'first', runs: [run] }],
};
const progress = (values: Record<string, string>) => ({
  lesson: small,
  values,
  step: (id: string) => {
    const found = small.steps.find((candidate) => candidate.id === id);
    if (!found) throw new LabError('bad-message', 'no step');
    return found;
  },
});
const request = { stepId: 'first', block: 0 };

test('a run types its block with the values filled in, and leaves the shell’s own brackets', () => {
  expect(commandOf(request, 'source', progress({ pid: '17' }))).toBe('kill 17 < <file>');
});

test.each([
  ['a value that is not known', request, 'source', 'value-unknown', '<pid> is not known yet.'],
  ['a block that is not there', { ...request, block: 1 }, 'source', 'bad-message', 'no such command'],
  ['a step that is not there', { ...request, stepId: 'x' }, 'source', 'bad-message', 'no step'],
  ['a terminal of the other host', request, 'destination', 'bad-message', 'for source'],
] as const)('%s is refused', (_, run, host, code, message) => {
  const refused = () => commandOf(run, host, progress({}));
  expect(refused).toThrow(message);
  expect(refused).toThrow(expect.objectContaining({ code }) as Error);
});
