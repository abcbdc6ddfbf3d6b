'use client';

import { useEffect, useRef, useState, type ReactElement } from 'react';
import { HostName } from '../ui/host';
import { hostNames } from '../../server/protocol/hosts';
import { parseCast, type Cast } from '../../server/lessons/cast';
import { castAddress, type Casts } from './casts';
import { Playback, type PlaybackState } from './playback';
import './recording-player.css';

const speeds = [1, 2, 4] as const;

const clock = {
  now: () => performance.now(),
  soon: (callback: () => void) => {
    const frame = requestAnimationFrame(callback);
    return () => {
      cancelAnimationFrame(frame);
    };
  },
};

const formatPosition = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

async function fetchCast(address: string): Promise<Cast> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return parseCast(await response.text());
}

/** Lists the terminals of a step in the hosts' order: `source`, `source-2`, `destination`. */
const terminalsOf = (casts: Readonly<Record<string, string>>): string[] =>
  hostNames.flatMap((host) =>
    Object.keys(casts)
      .filter((terminal) => terminal.startsWith(host))
      .sort(),
  );

/** Makes the terminals and the playback of one step, and disposes of them when the step changes. */
function usePlayback(
  lessonId: string,
  step: Casts[number] | undefined,
  onEnd: () => void,
): {
  containers: Map<string, HTMLElement>;
  playback: Playback | undefined;
  state: PlaybackState | undefined;
  failure: string | undefined;
} {
  const [containers] = useState(() => new Map<string, HTMLElement>());
  const [playback, setPlayback] = useState<Playback>();
  const [state, setState] = useState<PlaybackState>();
  const [failure, setFailure] = useState<string>();
  const onEndRef = useRef(onEnd);
  useEffect(() => {
    onEndRef.current = onEnd;
  }, [onEnd]);

  useEffect(() => {
    if (step === undefined) return;
    const gone = new AbortController();
    const ends: (() => void)[] = [];
    const open = async (): Promise<void> => {
      const terminals = terminalsOf(step.casts);
      const [{ RecordedScreen }, ...casts] = await Promise.all([
        import('./screen'),
        ...terminals.map((terminal) => fetchCast(castAddress(lessonId, step.casts[terminal] ?? ''))),
      ]);
      if (gone.signal.aborted) return;
      const screens = terminals.flatMap((terminal, index) => {
        const container = containers.get(terminal);
        const cast = casts[index];
        if (container === undefined || cast === undefined) return [];
        const screen = new RecordedScreen(container, cast.columns, cast.rows);
        ends.push(() => {
          screen.dispose();
        });
        return [screen];
      });
      const made = new Playback(casts, screens, clock, (next) => {
        setState(next);
        if (!next.playing && next.position === next.duration) onEndRef.current();
      });
      ends.push(() => {
        made.pause();
      });
      setPlayback(made);
      setState(made.state);
      setFailure(undefined);
      // With reduced motion, the learner starts the playback.
      if (!window.matchMedia('(prefers-reduced-motion: reduce)').matches) made.play();
    };
    open().catch((thrown: unknown) => {
      if (!gone.signal.aborted) setFailure(thrown instanceof Error ? thrown.message : String(thrown));
    });
    return () => {
      gone.abort();
      for (const end of ends.reverse()) end();
      setPlayback(undefined);
      setState(undefined);
    };
  }, [lessonId, step, containers]);
  return { containers, playback, state, failure };
}

/** Plays the recording of a lesson's test, step by step, for learners without hosts. */
export function RecordingPlayer(props: {
  lessonId: string;
  casts: Casts;
  onClose: () => void;
}): ReactElement {
  const { lessonId, casts, onClose } = props;
  const [index, setIndex] = useState(0);
  const [speed, setSpeed] = useState<(typeof speeds)[number]>(1);
  const step = casts[index];
  const { containers, playback, state, failure } = usePlayback(lessonId, step, () => {
    if (index < casts.length - 1) setIndex(index + 1);
  });
  useEffect(() => {
    playback?.setSpeed(speed);
  }, [playback, speed]);

  return (
    <section className="player" aria-label="Recording of this lesson">
      <div className="player-controls">
        <button
          type="button"
          className="button"
          disabled={playback === undefined}
          onClick={() => {
            if (state?.playing) playback?.pause();
            else playback?.play();
          }}
        >
          {state?.playing ? 'Pause' : 'Play'}
        </button>
        <label>
          <span className="visually-hidden">Step</span>
          <select
            value={index}
            onChange={(event) => {
              setIndex(Number(event.target.value));
            }}
          >
            {casts.map(({ stepId, title }, number) => (
              <option key={stepId} value={number}>
                {number + 1}. {title}
              </option>
            ))}
          </select>
        </label>
        <input
          type="range"
          aria-label="Position in the recording"
          aria-valuetext={state && `${formatPosition(state.position)} of ${formatPosition(state.duration)}`}
          min={0}
          max={state?.duration ?? 0}
          step={0.1}
          value={state?.position ?? 0}
          disabled={playback === undefined}
          onChange={(event) => {
            playback?.seek(Number(event.target.value));
          }}
        />
        <label>
          <span className="visually-hidden">Speed</span>
          <select
            value={speed}
            onChange={(event) => {
              setSpeed(speeds.find((one) => one === Number(event.target.value)) ?? 1);
            }}
          >
            {speeds.map((one) => (
              <option key={one} value={one}>
                {one}×
              </option>
            ))}
          </select>
        </label>
        <button type="button" className="button button-quiet" onClick={onClose}>
          Close
        </button>
      </div>
      {failure !== undefined && <p role="alert">Cannot play the recording. {failure}</p>}
      {terminalsOf(step?.casts ?? {}).map((terminal) => {
        const host = hostNames.find((name) => terminal.startsWith(name));
        return (
          <div key={`${step?.stepId ?? ''} ${terminal}`} className="player-terminal" data-host={host}>
            <p className="player-terminal-name">
              {host !== undefined && <HostName host={host} />}
              {terminal !== host && ', second terminal'}
            </p>
            <div
              className="player-screen"
              role="img"
              aria-label={`Recording of ${terminal}; each command of the lesson has its output as text`}
              ref={(element) => {
                if (element === null) containers.delete(terminal);
                else containers.set(terminal, element);
              }}
            />
          </div>
        );
      })}
      <p className="player-note">
        This is a recording of the lesson’s test. Long waits are shortened, and you cannot type here.
      </p>
    </section>
  );
}
