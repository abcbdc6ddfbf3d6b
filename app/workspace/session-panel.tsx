'use client';

import Link from 'next/link';
import { useEffect, useState, type ReactElement, type ReactNode } from 'react';
import type { WireError } from '../../server/protocol/errors';
import type { EndReason, PairPhase } from '../../server/protocol/messages';
import { HostName } from '../ui/host';
import { useLabSession, useSessionState } from './context';

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
  reset: 'You asked for a fresh pair; this one is gone.',
  disconnected: 'No page was open on this session for a long time, so the hosts were given back.',
  idle: 'Nothing was typed for a long time, so the hosts were given back.',
  'total-time': 'The time for this session was used up.',
  'server-stopped': 'The lab’s server was stopped, and the hosts with it.',
  'host-lost': 'One of the hosts stopped running, so the pair could not go on.',
};

/** What failed and what to try, as the server said it. */
export function Problem({ error }: { error: WireError }): ReactElement {
  return (
    <p className="problem" role="alert">
      <strong>{error.message}</strong>
      {error.hint !== undefined && <span> {error.hint}</span>}
    </p>
  );
}

function useSecondsSince(startMs: number): number {
  const [nowMs, setNowMs] = useState(startMs);
  useEffect(() => {
    const timer = setInterval(() => {
      setNowMs(Date.now());
    }, 250);
    return () => {
      clearInterval(timer);
    };
  }, []);
  return Math.max(0, (nowMs - startMs) / 1000);
}

function Starting(): ReactElement {
  const phase = useSessionState((state) => state.phase);
  const pair = useSessionState((state) => state.pair);
  const pairAtMs = useSessionState((state) => state.pairAtMs);
  const connection = useSessionState((state) => state.connection);
  const sinceSaid = useSecondsSince(pairAtMs);
  const seconds = (pair?.elapsedMs ?? 0) / 1000 + sinceSaid;
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

function Body(): ReactElement | null {
  const phase = useSessionState((state) => state.phase);
  const pair = useSessionState((state) => state.pair);
  const other = useSessionState((state) => state.otherSession);
  const problem = useSessionState((state) => state.problem);
  const endReason = useSessionState((state) => state.endReason);
  switch (phase) {
    case 'loading':
      return <p className="muted">Looking for your hosts.</p>;
    case 'ready':
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
    case 'failed':
      return (
        <>
          <h2>The hosts could not be started.</h2>
          <Problem error={pair?.error ?? { code: 'internal', message: 'The server gave no reason.' }} />
          <p className="button-row">
            <StartButton>Try again</StartButton>
          </p>
        </>
      );
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
  const ready = useSessionState((state) => state.phase === 'ready');
  if (ready) return null;
  return (
    <div className="session-veil">
      <section className="session-panel" aria-label="Your hosts">
        <Body />
      </section>
    </div>
  );
}
