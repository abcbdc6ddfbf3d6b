/** The command that a run types. */
import { fillValues } from '../../lessons/fill';
import { LabError } from '../../protocol/errors';
import type { HostName } from '../../protocol/hosts';
import type { Progress } from './progress';
import type { RunRequest } from './runs';

/**
 * Looks a run's block up in the lesson, and fills in the values.
 * @param host of the terminal that the command is typed into
 * @throws LabError `bad-message`, `value-unknown`
 */
export function commandOf(
  { stepId, block: index }: Pick<RunRequest, 'stepId' | 'block'>,
  host: HostName,
  progress: Pick<Progress, 'lesson' | 'values' | 'step'>,
): string {
  const block = progress.step(stepId).runs[index];
  if (!block) throw new LabError('bad-message', 'The lesson has no such command.');
  if (host !== block.host) {
    throw new LabError('bad-message', `This command is for ${block.host}, and the terminal is on ${host}.`);
  }
  const names = progress.lesson.values.map((value) => value.name);
  const filled = fillValues(block.text, names, progress.values);
  if ('missing' in filled) {
    const missing = filled.missing.map((name) => `<${name}>`).join(', ');
    throw new LabError('value-unknown', `${missing} is not known yet.`, {
      hint: 'Do the steps before this one first. They create it.',
    });
  }
  return filled.text;
}
