/** Decides whether a lesson's checks notice that a step was left out. */
import { LabError } from '../protocol/errors';
import type { StepState } from '../protocol/session';

/** What the lesson test saw after it left out a step and did the next one. */
export interface MutationOutcome {
  /** The step that was left out. */
  stepId: string;
  /** Why the hosts are gone; undefined while they run. */
  loss: string | undefined;
  /** Whether a command of the next step did not end as the lesson says. */
  nextFailed: boolean;
  /** What the checks of the step and of the next one say; empty when nobody asked them. */
  checks: readonly StepState['state'][];
}

/**
 * Whether the lesson notices: a command fails, or a check is open. Hosts that are gone say nothing about the lesson.
 * @throws LabError `lost` when the hosts are gone
 */
export function isNoticed({ stepId, loss, nextFailed, checks }: MutationOutcome): boolean {
  if (loss !== undefined) {
    throw new LabError(
      'lost',
      `The hosts were lost while the test left out the step \`${stepId}\`: ${loss}`,
      {
        hint: 'This says nothing about the lesson. Run the test again.',
      },
    );
  }
  return nextFailed || checks.includes('open');
}
