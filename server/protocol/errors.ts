/**
 * The one error type of the project. It crosses processes as {@link WireError}.
 *
 * Codes name what went wrong for the person who meets it, not where in the code it happened.
 */
import { z } from 'zod';

const errorCodes = [
  'bad-config',
  'bad-message',
  'bad-lesson',
  'artifact-damaged',
  'build-failed',
  'disk-full',
  'missing-tool',
  'port-in-use',
  'already-running',
  'qemu-failed',
  'host-unreachable',
  'forbidden',
  'no-session',
  'session-exists',
  'session-ended',
  /** All pairs that this machine can hold are taken. */
  'no-capacity',
  /** This machine can hold no pair at all. */
  'cannot-run',
  /** A learner or an address has as many sessions as it may have. */
  'too-many-sessions',
  /** The same was asked for so often that it is no learner's doing; passes with time. */
  'too-many-requests',
  'template-missing',
  /** Public mode was asked for on a machine or with settings that are not safe for it. */
  'unsafe',
  /** There is no saved state to go back to. */
  'no-saved-state',
  'lost',
  'not-ready',
  'not-at-prompt',
  'value-unknown',
  'cancelled',
  /** More was asked for than any person and page would ask for. */
  'overloaded',
  'internal',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** An error as it crosses a process: no stack, no cause, nothing a learner must not see. */
export const wireErrorSchema = z.object({
  code: z.enum(errorCodes),
  /** What failed and why, one sentence. */
  message: z.string(),
  /** The next thing to try. */
  hint: z.string().optional(),
});
export type WireError = z.infer<typeof wireErrorSchema>;

export class LabError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LabError';
    this.code = code;
    this.hint = options.hint;
  }

  toWire(): WireError {
    return this.hint === undefined
      ? { code: this.code, message: this.message }
      : { code: this.code, message: this.message, hint: this.hint };
  }

  /** Wraps anything thrown; a LabError passes through, an unknown throw keeps itself as the cause. */
  static from(thrown: unknown, doing: string): LabError {
    if (thrown instanceof LabError) return thrown;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    return new LabError('internal', `${doing}: ${reason}`, { cause: thrown });
  }
}
