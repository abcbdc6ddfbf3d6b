/**
 * The line from a page to its session as one state, and the function that leads from one state to the next. Pure: no timers, no
 * sockets of its own. {@link Connection} carries out what a change means.
 *
 *     closed ──open──> opening ──hello──> open
 *                      │    ^               │
 *                    failed └──time, wake── waiting <──failed, or silent for too long──
 *
 * Every state but `closed` counts failures, which decide how long the next wait is.
 */
import type { Socket } from './socket';

/** First wait before a new attempt: long enough for a gateway to restart, short enough not to be noticed. */
const firstRetryMs = 500;
/** Longest wait: a learner who is back from lunch should not have to look for a button. */
const lastRetryMs = 15_000;
/** The fifth attempt's wait, 8 s: for a server that ended the line for what this page did, and would do so again at once. */
const faultFailures = 4;
/** An attempt without a hello fails after this, because a request into a dead network may hang for minutes; later attempts have longer. */
export const helloMs = 8_000;
/** An attempt this old when the page wakes began before whatever woke the page, so a new attempt replaces it. */
const staleAttemptMs = 2_000;
/** After this long without a message, a ping asks whether the server is still there. */
export const pingAfterMs = 5_000;
/** A ping unanswered for this long is reported to the learner. Longer than a slow network's round trip. */
export const noticeMs = 2_000;
/** A ping unanswered for this long means that the line is dead. */
export const answerMs = 10_000;
/** The same for a page that was just woken: the lid was closed, and the line is dead more often than not. */
export const wakeAnswerMs = 3_000;

/** Attempts that failed in a row. */
interface Failures {
  count: number;
  /** What `count` restarts from at a hello: not 0 after the server ended a line for what this page did, until a terminal attaches. */
  least: number;
}

/** Whether the server answers on an open line. */
type Liveness =
  | { state: 'heard' }
  /** A ping is on its way. */
  | { state: 'pinged'; pingedAtMs: number; answerByMs: number }
  /** The ping is overdue, and the learner has been told. */
  | { state: 'silent'; answerByMs: number };

/** `attempt` numbers the attempts, so that a socket that opens after its attempt was abandoned is recognized. */
export type Line =
  | { state: 'closed'; attempt: number }
  | { state: 'waiting'; attempt: number; failures: Failures; retryAtMs: number }
  | {
      state: 'opening';
      attempt: number;
      failures: Failures;
      sinceMs: number;
      giveUpAtMs: number;
      /** Undefined while the ticket is being fetched. */
      socket: Socket | undefined;
    }
  | {
      state: 'open';
      attempt: number;
      failures: Failures;
      socket: Socket;
      heardAtMs: number;
      liveness: Liveness;
    };

export type LineEvent =
  | { type: 'open' }
  | { type: 'close' }
  /** The attempt has its socket. */
  | { type: 'socket'; socket: Socket }
  /** The socket closed or never opened. `fault`: the server ended it for what this page did. */
  | { type: 'failed'; fault: boolean }
  /** Anything arrived. */
  | { type: 'heard' }
  | { type: 'hello' }
  /** A terminal is attached: the line works. */
  | { type: 'attached' }
  /** The network is said to be back, or the learner looks at the page again. */
  | { type: 'wake' }
  /** The deadline may have passed, see {@link deadlineOf}. */
  | { type: 'time' };

/** When an event happens, in milliseconds, and a random number from 0 up to 1. */
export interface Moment {
  nowMs: number;
  random: number;
}

export const closedLine: Line = { state: 'closed', attempt: 0 };

/** @returns `line` itself when the event changes nothing */
export function next(line: Line, event: LineEvent, moment: Moment): Line {
  const { nowMs } = moment;
  switch (event.type) {
    case 'open':
      return line.state === 'closed' ? opening(line, { count: 0, least: 0 }, nowMs) : line;
    case 'close':
      return line.state === 'closed' ? line : { state: 'closed', attempt: line.attempt };
    case 'socket':
      return line.state === 'opening' ? { ...line, socket: event.socket } : line;
    case 'failed':
      return failed(line, event.fault, moment);
    case 'heard':
      return line.state === 'open' ? { ...line, heardAtMs: nowMs, liveness: { state: 'heard' } } : line;
    case 'hello': {
      if (line.state !== 'opening' || line.socket === undefined) return line;
      const { attempt, socket } = line;
      const failures = { ...line.failures, count: line.failures.least };
      return { state: 'open', attempt, failures, socket, heardAtMs: nowMs, liveness: { state: 'heard' } };
    }
    case 'attached':
      return line.state === 'open' ? { ...line, failures: { count: 0, least: 0 } } : line;
    case 'wake':
      return woken(line, nowMs);
    case 'time':
      return timed(line, moment);
  }
}

/** When a line that hears nothing changes by itself; undefined: never. */
export function deadlineOf(line: Line): number | undefined {
  switch (line.state) {
    case 'closed':
      return undefined;
    case 'waiting':
      return line.retryAtMs;
    case 'opening':
      return line.giveUpAtMs;
    case 'open':
      switch (line.liveness.state) {
        case 'heard':
          return line.heardAtMs + pingAfterMs;
        case 'pinged':
          return Math.min(line.liveness.pingedAtMs + noticeMs, line.liveness.answerByMs);
        case 'silent':
          return line.liveness.answerByMs;
      }
  }
}

/** Since when a line that seems open has been silent; null when it answers, or is not open. */
export const silentSince = (line: Line): number | null =>
  line.state === 'open' && line.liveness.state === 'silent' ? line.heardAtMs : null;

const longestWaitMs = ({ count }: Failures): number => Math.min(lastRetryMs, firstRetryMs * 2 ** count);

const opening = ({ attempt }: Line, failures: Failures, nowMs: number): Line => ({
  state: 'opening',
  attempt: attempt + 1,
  failures,
  sinceMs: nowMs,
  giveUpAtMs: nowMs + helloMs + longestWaitMs(failures),
  socket: undefined,
});

function failed(line: Line, fault: boolean, { nowMs, random }: Moment): Line {
  if (line.state !== 'opening' && line.state !== 'open') return line;
  const { attempt, failures } = line;
  const { count, least } = fault
    ? { count: Math.max(failures.count, faultFailures), least: faultFailures }
    : failures;
  // Between half and all of the wait: a room full of learners must not come back in one instant.
  const waitMs = longestWaitMs({ count, least }) * (0.5 + random / 2);
  return { state: 'waiting', attempt, failures: { count: count + 1, least }, retryAtMs: nowMs + waitMs };
}

function woken(line: Line, nowMs: number): Line {
  switch (line.state) {
    case 'closed':
      return line;
    case 'waiting':
      return opening(line, line.failures, nowMs);
    case 'opening':
      return nowMs - line.sinceMs >= staleAttemptMs ? opening(line, line.failures, nowMs) : line;
    case 'open': {
      const { liveness } = line;
      const answerByMs = nowMs + wakeAnswerMs;
      return {
        ...line,
        liveness:
          liveness.state === 'heard'
            ? { state: 'pinged', pingedAtMs: nowMs, answerByMs }
            : { ...liveness, answerByMs: Math.min(liveness.answerByMs, answerByMs) },
      };
    }
  }
}

function timed(line: Line, moment: Moment): Line {
  const { nowMs } = moment;
  switch (line.state) {
    case 'closed':
      return line;
    case 'waiting':
      return nowMs >= line.retryAtMs ? opening(line, line.failures, nowMs) : line;
    case 'opening':
      return nowMs >= line.giveUpAtMs ? failed(line, false, moment) : line;
    case 'open': {
      const { liveness } = line;
      if (liveness.state === 'heard') {
        if (nowMs - line.heardAtMs < pingAfterMs) return line;
        const pinged: Liveness = { state: 'pinged', pingedAtMs: nowMs, answerByMs: nowMs + answerMs };
        return { ...line, liveness: pinged };
      }
      if (nowMs >= liveness.answerByMs) return failed(line, false, moment);
      if (liveness.state === 'silent' || nowMs - liveness.pingedAtMs < noticeMs) return line;
      return { ...line, liveness: { state: 'silent', answerByMs: liveness.answerByMs } };
    }
  }
}
