'use client';

import Link from 'next/link';
import { useState, type ReactElement, type ReactNode } from 'react';
import type { WireError } from '../../../server/protocol/errors';
import type { EndReason, PairPhase } from '../../../server/protocol/session';
import { useCasts } from '../../player/casts';
import { RecordingPlayer } from '../../player/recording-player';
import { HostName } from '../../ui/host';
import { Problem } from '../../ui/problem';
import { spellEstimate } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { useLabSession, useSessionState } from './context';
import { connectionOf, failureOf, hasPair, queueOf, shownPhase, startedAtMs } from './selectors';
import './session-panel.css';

const startPhases: { phase: PairPhase; doing: string; why: string }[] = [
  {
    phase: 'cloning',
    doing: 'Cloning',
    why: 'The server clones two machines from a pair that has already booted.',
  },
  {
    phase: 'resuming',
    doing: 'Resuming',
    why: 'The clones map the snapshot’s memory and continue where it stopped.',
  },
  { phase: 'logging-in', doing: 'Logging in', why: 'The server opens a root shell on each host.' },
  {
    phase: 'setting-clocks',
    doing: 'Setting clocks',
    why: 'Both clocks still show the day of the snapshot.',
  },
];

const endings: Record<EndReason, string> = {
  'by-learner': 'You ended the session. The server deleted both hosts and everything on them.',
  reset: 'The owner replaced these hosts with fresh ones.',
  disconnected: 'This session was not open in any page for a long time, so the server ended it.',
  idle: 'Nobody typed anything for a long time, so the server ended the session.',
  'total-time': 'The session reached its time limit.',
  'server-stopped': 'The lab’s server was stopped, which ended all sessions.',
  'host-lost': 'One of the hosts stopped running, so the server ended the session.',
};

function Starting(): ReactElement {
  const phase = useSessionState(shownPhase);
  const startedMs = useSessionState(startedAtMs);
  const isReconnecting = useSessionState(
    (state) => state.phase === 'active' && connectionOf(state) === 'connecting',
  );
  const nowMs = useNow(250);
  const seconds = Math.max(0, nowMs - startedMs) / 1000;
  const at = startPhases.findIndex((one) => one.phase === phase);
  return (
    <>
      <h2>Your hosts are starting</h2>
      <ol className="start-phases">
        {startPhases.map(({ phase: one, doing, why }, index) => (
          <li key={one} data-state={index < at ? 'past' : index === at ? 'now' : 'next'}>
            <span className="start-phase-mark" aria-hidden="true" />
            <span>
              <b>{doing}</b>
              {index === at && <span className="start-phase-why"> {why}</span>}
            </span>
          </li>
        ))}
      </ol>
      <p className="elapsed" aria-hidden="true">
        {seconds.toFixed(0)} s
      </p>
      {isReconnecting && <p className="muted">Reconnecting to the server…</p>}
    </>
  );
}

function StartButton({ children }: { children: ReactNode }): ReactElement {
  const session = useLabSession();
  return (
    <button type="button" className="button button-primary button-large" onClick={() => void session.start()}>
      {children}
    </button>
  );
}

function SlowWarning(): ReactElement | null {
  const lab = useSessionState((state) => state.lab);
  if (lab?.accelerator !== 'tcg') return null;
  return (
    <p className="notice">
      This server emulates the hosts’ processors in software (TCG), because{' '}
      {lowerFirst(lab.acceleratorReason)} Everything works, but most commands take ten to twenty times as
      long.
    </p>
  );
}

const lowerFirst = (text: string): string => {
  const sentence = /[.!?]$/.test(text) ? text : `${text}.`;
  return /^[A-Z][a-z]/.test(sentence) ? sentence.charAt(0).toLowerCase() + sentence.slice(1) : sentence;
};

function Queued(): ReactElement | null {
  const session = useLabSession();
  const queue = useSessionState(queueOf);
  const problem = useSessionState((state) => state.problem);
  if (queue === null) return null;
  const isForThisLesson = queue.lessonId === session.lesson.id;
  return (
    <>
      <h2>{queue.position === 1 ? 'You are next' : `You are number ${queue.position} in the queue`}</h2>
      {problem !== null && <Problem error={problem} />}
      <p>
        All pairs of hosts are in use.{' '}
        {queue.estimateMs === null
          ? 'The server cannot estimate the wait yet.'
          : `Estimated wait: ${spellEstimate(queue.estimateMs)}.`}
      </p>
      {isForThisLesson ? (
        <p>
          You can read the lesson while you wait. Keep this page open, in the background if you like. When it
          is your turn, your hosts start and the tab’s title changes.
        </p>
      ) : (
        <p>You are waiting for another lesson, so your hosts will start there.</p>
      )}
      <p className="button-row">
        {!isForThisLesson && (
          <Link className="button button-primary" href={`/lessons/${queue.lessonId}`}>
            Go to that lesson
          </Link>
        )}
        <button type="button" className="button" onClick={() => void session.leaveQueue()}>
          Leave queue
        </button>
      </p>
    </>
  );
}

/** Has no start button, because starting cannot succeed. */
function CannotRun({ error }: { error: WireError }): ReactElement {
  const session = useLabSession();
  return (
    <>
      <h2>This server cannot run hosts</h2>
      <Problem error={error} />
      <p>You can still read the lesson and every command in it.</p>
      <p className="button-row">
        <button type="button" className="button" onClick={() => void session.load()}>
          Check again
        </button>
      </p>
    </>
  );
}

function Failed(): ReactElement | null {
  const failure = useSessionState(failureOf);
  if (failure === null) return null;
  const lost = failure.code === 'lost';
  return (
    <>
      <h2>{lost ? 'Your hosts were lost' : 'Your hosts did not start'}</h2>
      <Problem error={failure} />
      {lost && (
        <p>You start over from the first step with new hosts. The page keeps your place in the text.</p>
      )}
      <p className="button-row">
        <StartButton>{lost ? 'Start new hosts' : 'Try again'}</StartButton>
      </p>
    </>
  );
}

function OtherLesson({ lessonId }: { lessonId: string }): ReactElement {
  const problem = useSessionState((state) => state.problem);
  return (
    <>
      <h2>You are using your hosts in another lesson</h2>
      {problem !== null && <Problem error={problem} />}
      <p>You can have one session at a time. Go back to that lesson, or end its session and start here.</p>
      <p className="button-row">
        <Link className="button button-primary button-large" href={`/lessons/${lessonId}`}>
          Go to that lesson
        </Link>
        <StartButton>End that session and start here</StartButton>
      </p>
    </>
  );
}

function Invitation(): ReactElement {
  const cannotRun = useSessionState((state) => state.lab?.cannotRun);
  const problem = useSessionState((state) => state.problem);
  if (cannotRun !== undefined) return <CannotRun error={cannotRun} />;
  if (problem?.code === 'cannot-run') return <CannotRun error={problem} />;
  return (
    <>
      <h2>Two hosts, yours alone</h2>
      {problem !== null && <Problem error={problem} />}
      <p>
        <HostName host="source" /> and <HostName host="destination" /> are virtual machines with Debian 13, a
        kernel each, and SELinux enforcing. You are root on both. They share a private link and have no other
        network.
      </p>
      <SlowWarning />
      <p className="button-row">
        <StartButton>Start your two hosts</StartButton>
      </p>
    </>
  );
}

function Ended({ reason }: { reason: EndReason | null }): ReactElement {
  const problem = useSessionState((state) => state.problem);
  return (
    <>
      <h2>The session has ended</h2>
      <p>{reason === null ? 'The server no longer has a session for this browser.' : endings[reason]}</p>
      {problem !== null && <Problem error={problem} />}
      <p className="button-row">
        <StartButton>Start new hosts</StartButton>
      </p>
    </>
  );
}

function Body(): ReactElement | null {
  const state = useSessionState((now) => now);
  switch (state.phase) {
    case 'loading':
      return <p className="muted">Looking for your hosts…</p>;
    case 'none':
      return state.otherSession === null ? (
        <Invitation />
      ) : (
        <OtherLesson lessonId={state.otherSession.lessonId} />
      );
    case 'queued':
      return <Queued />;
    case 'requesting':
    case 'joining':
    case 'active':
      return <Starting />;
    case 'failed':
      return <Failed />;
    case 'ended':
      return <Ended reason={state.reason} />;
  }
}

/** Covers the terminal area while there are no terminals. */
export function SessionPanel(): ReactElement | null {
  const { lesson } = useLabSession();
  const hidden = useSessionState(hasPair);
  const casts = useCasts(lesson.id);
  const [watching, setWatching] = useState(false);
  if (hidden) return null;
  return (
    <div className="session-veil">
      {watching ? (
        <RecordingPlayer
          lessonId={lesson.id}
          casts={casts}
          onClose={() => {
            setWatching(false);
          }}
        />
      ) : (
        <section className="session-panel" aria-label="Your hosts">
          <Body />
          {casts.length > 0 && (
            <p>
              <button
                type="button"
                className="button button-quiet"
                onClick={() => {
                  setWatching(true);
                }}
              >
                Watch a recording of the lesson
              </button>
            </p>
          )}
        </section>
      )}
    </div>
  );
}
