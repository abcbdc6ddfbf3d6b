/**
 * The state machine of a page's connection to its session. Pure: it starts no timers and opens no sockets. {@link Connection} acts on
 * its transitions.
 *
 *     closed ──open──> opening ──hello──> open
 *                      │    ^               │
 *                    failed └──time, wake── waiting <──failed, or silent for too long──
 *
 * Every state but `closed` counts failures, which determine the next wait.
 */
import type { Socket } from './socket';

/** First wait before a retry: long enough for a gateway to restart, short enough to go unnoticed. */
const firstRetryMs = 500;
/** Longest wait: a learner who is back from lunch should not have to look for a button. */
const lastRetryMs = 15_000;
/** Failures to assume after the server blamed this page for the break: the next wait is 8 s, since the server may do so again. */
const faultFailures = 4;
/** First attempt's time until the hello, because a request into a dead network may hang for minutes. Later attempts get more time. */
export const helloMs = 8_000;
/** An attempt older than this when the page wakes is replaced, because it began before the network returned. */
const staleAttemptMs = 2_000;
/** After this long without a message, a ping asks whether the server is still there. */
export const pingAfterMs = 5_000;
/** A ping unanswered for this long is reported to the learner. Longer than a slow network's round trip. */
export const noticeMs = 2_000;
/** A ping unanswered for this long means that the connection is dead. */
export const answerMs = 10_000;
/** The same for a page that was just woken. After a closed lid, the connection is usually dead. */
export const wakeAnswerMs = 3_000;

/** Consecutive failed attempts. */
interface Failures {
  count: number;
  /** The value of `count` after a hello. Above 0 after the server blamed this page for a break, until a terminal attaches. */
  least: number;
}

/** Whether the server answers on an open connection. */
type Liveness =
  | { state: 'heard' }
  /** A ping was sent. */
  | { state: 'pinged'; pingedAtMs: number; answerByMs: number }
  /** The ping is overdue, and the learner has been told. */
  | { state: 'silent'; answerByMs: number };

/** The connection's state. `attempt` numbers the attempts, so a socket of an abandoned attempt can be recognized. */
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
  /** The socket closed or never opened. `fault`: the server blames this page. */
  | { type: 'failed'; fault: boolean }
  /** Anything arrived. */
  | { type: 'heard' }
  | { type: 'hello' }
  /** A terminal is attached, so the connection works. */
  | { type: 'attached' }
  /** The network may be back, or the page is visible again. */
  | { type: 'wake' }
  /** The deadline may have passed, see {@link deadlineOf}. */
  | { type: 'time' };

/** The time of an event in milliseconds, and a random number from 0 up to 1. */
export interface Moment {
  nowMs: number;
  random: number;
}

export const closedLine: Line = { state: 'closed', attempt: 0 };

/** The state after an event. @returns `line` itself when the event changes nothing */
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

/** When the state changes if no event comes; undefined: never. */
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

/** Since when an open connection has been silent; null when it answers or is not open. */
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
  // Between half and all of the wait, so a room full of learners does not reconnect all at once.
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
