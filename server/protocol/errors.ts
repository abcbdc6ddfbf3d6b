/**
 * The one error type of the project. It crosses processes as {@link WireError}.
 *
 * A code names the problem for the person who meets it, not the place in the code.
 */
import { z } from 'zod';

export const errorCodes = [
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
  /** All pairs that fit on this machine are in use. */
  'no-capacity',
  /** This machine is too small for even one pair. */
  'cannot-run',
  /** A learner or a network address has reached its limit of sessions. */
  'too-many-sessions',
  /** More requests than any learner makes. Passes with time. */
  'too-many-requests',
  'template-missing',
  /** Public mode on a machine or with settings that are not safe for it. */
  'unsafe',
  /** There is no saved state to rewind to. */
  'no-saved-state',
  'lost',
  'not-ready',
  'not-at-prompt',
  'value-unknown',
  'cancelled',
  /** More than any person or page would send or request. */
  'overloaded',
  'internal',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** An error between processes: without stack, cause, or anything that a learner must not see. */
export const wireErrorSchema = z.object({
  code: z.enum(errorCodes),
  /** What failed and why, one or two sentences. */
  message: z.string(),
  /** The next thing to try. */
  hint: z.string().optional(),
});
export type WireError = z.infer<typeof wireErrorSchema>;

/** The hint of an unexpected error. */
const unexpectedHint = 'Try again. If it fails again, the server’s log says more.';

export class LabError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LabError';
    this.code = code;
    this.hint = options.hint;
  }

  /** The error as browsers and other processes may see it. */
  toWire(): WireError {
    return this.hint === undefined
      ? { code: this.code, message: this.message }
      : { code: this.code, message: this.message, hint: this.hint };
  }

  /** Rebuilds an error that crossed a process. */
  static fromWire({ code, message, hint }: WireError): LabError {
    return new LabError(code, message, hint === undefined ? {} : { hint });
  }

  /**
   * Wraps any thrown value. A LabError passes through. Anything else becomes the cause of an `internal` error. Browsers see that
   * error's text, so it does not contain the cause. Logs print the cause, and command lines print {@link describe}.
   * @param doing the action that failed, as the beginning of a sentence: “Reading the recording”
   */
  static from(thrown: unknown, doing: string): LabError {
    if (thrown instanceof LabError) return thrown;
    return new LabError('internal', `${doing}: an unexpected error.`, {
      hint: unexpectedHint,
      cause: thrown,
    });
  }

  /**
   * The message with the causes that {@link from} keeps out of it. For command lines and reports on this machine, never for a
   * browser.
   */
  describe(): string {
    const causes: string[] = [];
    let next: unknown = this.code === 'internal' ? this.cause : undefined;
    // Causes can form a cycle.
    const seen = new Set<unknown>();
    while (next !== undefined && next !== null && !seen.has(next)) {
      seen.add(next);
      causes.push(
        next instanceof Error ? next.message : typeof next === 'string' ? next : JSON.stringify(next),
      );
      next = next instanceof Error ? next.cause : undefined;
    }
    return causes.length === 0 ? this.message : `${this.message} Cause: ${causes.join(': ')}`;
  }
}
