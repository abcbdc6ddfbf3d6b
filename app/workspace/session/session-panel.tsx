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
import { hasPair } from './session';
import './session-panel.css';

const startPhases: { phase: PairPhase; doing: string; why: string }[] = [
  { phase: 'cloning', doing: 'Cloning', why: 'Two machines are cloned from a pair that was booted before.' },
  {
    phase: 'resuming',
    doing: 'Resuming',
    why: 'Their memory is mapped and both go on where the snapshot stopped.',
  },
  { phase: 'logging-in', doing: 'Logging in', why: 'A root shell is opened on each.' },
  {
    phase: 'setting-clocks',
    doing: 'Setting clocks',
    why: 'They still believe that it is the day of the snapshot.',
  },
];

const endings: Record<EndReason, string> = {
  'by-learner': 'You ended the session. Both hosts and everything on them are gone.',
  reset: 'You asked for fresh hosts in another tab; these are gone.',
  disconnected: 'No page was open on this session for a long time, so the hosts were given back.',
  idle: 'Nothing was typed for a long time, so the hosts were given back.',
  'total-time': 'The time for this session was used up.',
  'server-stopped': 'The lab’s server was stopped, and the hosts with it.',
  'host-lost': 'One of the hosts stopped running, so the pair could not go on.',
};

function Starting(): ReactElement {
  const phase = useSessionState((state) => state.phase);
  const pair = useSessionState((state) => state.pair);
  const pairAtMs = useSessionState((state) => state.pairAtMs);
  const connection = useSessionState((state) => state.connection);
  const nowMs = useNow(250);
  const seconds = ((pair?.elapsedMs ?? 0) + Math.max(0, nowMs - pairAtMs)) / 1000;
  const at = startPhases.findIndex((one) => one.phase === phase);
  return (
    <>
      <h2>Your hosts are starting.</h2>
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
      {connection === 'connecting' && pair !== null && <p className="muted">Reconnecting to the server.</p>}
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
      {lowerFirst(lab.acceleratorReason)} Everything works; most of it takes ten to twenty times as long.
    </p>
  );
}

const lowerFirst = (text: string): string => {
  const sentence = /[.!?]$/.test(text) ? text : `${text}.`;
  return /^[A-Z][a-z]/.test(sentence) ? sentence.charAt(0).toLowerCase() + sentence.slice(1) : sentence;
};

function Queued(): ReactElement | null {
  const session = useLabSession();
  const queue = useSessionState((state) => state.queue);
  const problem = useSessionState((state) => state.problem);
  if (queue === null) return null;
  const here = queue.lessonId === session.lesson.id;
  return (
    <>
      <h2>{queue.position === 1 ? 'You are next.' : `You are number ${queue.position} in the queue.`}</h2>
      {problem !== null && <Problem error={problem} />}
      <p>
        All pairs of hosts are taken.{' '}
        {queue.estimateMs === null
          ? 'How long it takes until one is free is not known yet.'
          : `Yours should be free in ${spellEstimate(queue.estimateMs)}.`}
      </p>
      {here ? (
        <p>
          Read the lesson meanwhile; its commands are all there. Keep this page open, in the background if you
          like: your hosts start by themselves when it is your turn, and the tab’s title says so.
        </p>
      ) : (
        <p>You asked for them in another lesson, and there they will start.</p>
      )}
      <p className="button-row">
        {!here && (
          <Link className="button button-primary" href={`/lessons/${queue.lessonId}`}>
            Go to that lesson
          </Link>
        )}
        <button type="button" className="button" onClick={() => void session.leaveQueue()}>
          Leave the queue
        </button>
      </p>
    </>
  );
}

/** No button to start: it could do nothing. */
function CannotRun({ error }: { error: WireError }): ReactElement {
  const session = useLabSession();
  return (
    <>
      <h2>No hosts can run here.</h2>
      <Problem error={error} />
      <p>The lesson can be read all the same, every command with it.</p>
      <p className="button-row">
        <button type="button" className="button" onClick={() => void session.load()}>
          Look again
        </button>
      </p>
    </>
  );
}

function Failed(): ReactElement {
  const error = useSessionState((state) => state.pair?.error);
  const lost = error?.code === 'lost';
  return (
    <>
      <h2>{lost ? 'Your hosts are gone.' : 'The hosts could not be started.'}</h2>
      <Problem error={error ?? { code: 'internal', message: 'The server gave no reason.' }} />
      {lost && <p>The steps start over with the next pair. Your place in the text stays.</p>}
      <p className="button-row">
        <StartButton>{lost ? 'Start two new hosts' : 'Try again'}</StartButton>
      </p>
    </>
  );
}

function Body(): ReactElement | null {
  const phase = useSessionState((state) => state.phase);
  const cannotRun = useSessionState((state) => state.lab?.cannotRun);
  const other = useSessionState((state) => state.otherSession);
  const problem = useSessionState((state) => state.problem);
  const endReason = useSessionState((state) => state.endReason);
  switch (phase) {
    case 'loading':
      return <p className="muted">Looking for your hosts.</p>;
    case 'ready':
    case 'rewinding':
      return null;
    case 'none':
      if (other !== null) {
        return (
          <>
            <h2>Your hosts are at work in another lesson.</h2>
            {problem !== null && <Problem error={problem} />}
            <p>One browser has one pair at a time. Go back to it, or give it up for a new one here.</p>
            <p className="button-row">
              <Link className="button button-primary button-large" href={`/lessons/${other.lessonId}`}>
                Go to that lesson
              </Link>
              <StartButton>End it and start here</StartButton>
            </p>
          </>
        );
      }
      if (cannotRun !== undefined) return <CannotRun error={cannotRun} />;
      if (problem?.code === 'cannot-run') return <CannotRun error={problem} />;
      return (
        <>
          <h2>Two hosts, yours alone</h2>
          {problem !== null && <Problem error={problem} />}
          <p>
            <HostName host="source" /> and <HostName host="destination" /> are virtual machines with Debian
            13, a kernel each, and SELinux enforcing. You are root on both. A private link joins them; no
            other network reaches them.
          </p>
          <SlowWarning />
          <p className="button-row">
            <StartButton>Start your two hosts</StartButton>
          </p>
        </>
      );
    case 'queued':
      return <Queued />;
    case 'failed':
      return <Failed />;
    case 'ended':
      return (
        <>
          <h2>The session has ended.</h2>
          <p>
            {endReason === null ? 'The server has no session of this browser any more.' : endings[endReason]}
          </p>
          {problem !== null && <Problem error={problem} />}
          <p className="button-row">
            <StartButton>Start two new hosts</StartButton>
          </p>
        </>
      );
    default:
      return <Starting />;
  }
}

/** What stands before the terminals while there is nothing to type into. */
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
