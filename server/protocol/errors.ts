/**
 * The one error type of the project. It crosses processes as {@link WireError}.
 *
 * Codes name what went wrong for the person who meets it, not where in the code it happened.
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

/** An error as it crosses a process: no stack, no cause, nothing that a learner must not see. */
export const wireErrorSchema = z.object({
  code: z.enum(errorCodes),
  /** What failed and why, one or two sentences. */
  message: z.string(),
  /** The next thing to try. */
  hint: z.string().optional(),
});
export type WireError = z.infer<typeof wireErrorSchema>;

/** What a learner can do about an error that nobody foresaw. */
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
   * Wraps anything thrown. A LabError passes through. A foreign throw becomes the cause of an `internal` error, whose text says
   * nothing of it: that text reaches browsers. Logs print the cause; command lines print {@link describe}.
   * @param doing what failed, as the beginning of a sentence: “Reading the recording”
   */
  static from(thrown: unknown, doing: string): LabError {
    if (thrown instanceof LabError) return thrown;
    return new LabError('internal', `${doing}: an unexpected error.`, {
      hint: unexpectedHint,
      cause: thrown,
    });
  }

  /**
   * What failed, with the causes that {@link from} has kept out of the message. For command lines and reports on this machine,
   * never for a browser.
   */
  describe(): string {
    const causes: string[] = [];
    let next: unknown = this.code === 'internal' ? this.cause : undefined;
    // An error can be its own cause, by way of others.
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
