/** What screen readers announce about changes that the learner did not make. */
import type { Lesson } from '../../../server/lessons/lesson';
import type { Deadline } from '../../../server/protocol/session';
import { timeOfDay } from '../../ui/time';
import type { SessionEvent, SessionState } from './session-state';

const pairPhase = (state: SessionState): string | undefined =>
  state.phase === 'active' ? state.pair.phase : undefined;

function aboutPhase(before: SessionState, after: SessionState): string | undefined {
  switch (after.phase) {
    case 'queued': {
      const { position } = after.queue;
      const isSame = before.phase === 'queued' && before.queue.position === position;
      return isSame ? undefined : `You are number ${position} in the queue.`;
    }
    case 'joining':
      return before.phase === 'queued' ? 'It is your turn. Your hosts are starting.' : undefined;
    case 'active': {
      const from = pairPhase(before);
      const to = after.pair.phase;
      if (from === to) return undefined;
      if (to === 'rewinding') return 'Both hosts are returning to an earlier state.';
      // After a rewind, the `rewound` message announces more.
      return to === 'ready' && from !== 'rewinding' ? 'Both hosts are ready.' : undefined;
    }
    case 'failed':
      return before.phase === 'failed' ? undefined : after.failure.message;
    case 'ended':
      return before.phase === 'ended' ? undefined : 'The session has ended.';
    case 'none':
      return before.phase === 'queued' && after.otherSession === null
        ? 'You have lost your position in the queue.'
        : undefined;
    case 'loading':
    case 'requesting':
      return undefined;
  }
}

function aboutDeadline(before: Deadline, after: Deadline): string | undefined {
  if (after.endsAtMs > before.endsAtMs) return `Your session now ends at ${timeOfDay(after.endsAtMs)}.`;
  if (before.idleEndsAtMs !== null && after.idleEndsAtMs === null) return 'Your session continues.';
  return undefined;
}

/** A step's number and title, for the middle of a sentence. */
function stepName(lesson: Lesson, stepId: string): string {
  const index = lesson.steps.findIndex(({ id }) => id === stepId);
  return `step ${index + 1}, ${lesson.steps[index]?.title ?? stepId}`;
}

/** @returns undefined when the change needs no announcement */
export function announcementOf(
  lesson: Lesson,
  before: SessionState,
  event: SessionEvent,
  after: SessionState,
): string | undefined {
  switch (event.type) {
    case 'announce':
      return event.text;
    case 'recording-saved':
      return `The recording is saved as ${event.name}.`;
    case 'reset':
      return 'You are getting fresh hosts.';
    case 'leave-queue':
      return before.phase === 'queued' ? 'You have left the queue.' : undefined;
    case 'extended':
      return before.phase === 'active' && after.phase === 'active'
        ? aboutDeadline(before.deadline, after.deadline)
        : undefined;
    case 'message':
      break;
    default:
      return aboutPhase(before, after);
  }
  const { message } = event;
  if (before.phase !== 'active' || after.phase !== 'active') return aboutPhase(before, after);
  switch (message.type) {
    case 'deadline':
      return aboutDeadline(before.deadline, after.deadline);
    case 'step': {
      const { stepId } = message;
      const isNews = message.step.state === 'passed' && before.steps[stepId]?.state !== 'passed';
      const name = stepName(lesson, stepId);
      return isNews ? `${name.charAt(0).toUpperCase()}${name.slice(1)}: done.` : undefined;
    }
    case 'rewound':
      return `Both hosts are back at the start of ${stepName(lesson, message.stepId)}.`;
    default:
      return aboutPhase(before, after);
  }
}
