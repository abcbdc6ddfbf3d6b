'use client';

import { useId, useSyncExternalStore, type ReactElement } from 'react';
import { Glyph } from '../ui/glyph';
import { Wordmark } from '../ui/wordmark';
import { spellDuration } from '../ui/time';
import { useNow } from '../ui/use-now';
import { useLabSession, useSessionState } from './session/context';
import { deadlineOf, sessionOf, stepsOf } from './session/selectors';
import { endWarningMs } from './session/notice-strip';
import { SessionMenu } from './session/session-menu';
import { ConnectionMark } from './session/connection-mark';
import { ShortcutList } from './panes/shortcut-list';
import { Settings } from './settings';
import '../ui/popover.css';
import './top-bar.css';

function TimeLeft(): ReactElement | null {
  const deadline = useSessionState(deadlineOf);
  const nowMs = useNow(10_000);
  if (deadline === null) return null;
  const leftMs = deadline.endsAtMs - nowMs;
  return (
    <span
      className="bar-item time-left"
      data-short={leftMs <= (deadline.warningMs ?? endWarningMs)}
      title="Time until the session ends and the server deletes both hosts"
    >
      {spellDuration(leftMs)} left
    </span>
  );
}

function Progress(): ReactElement {
  const { lesson } = useLabSession();
  const passed = useSessionState(
    (state) => lesson.steps.filter(({ id }) => stepsOf(state)[id]?.state === 'passed').length,
  );
  const total = lesson.steps.length;
  return (
    <span className="bar-item progress">
      <progress value={passed} max={total} aria-label="Steps done" />
      <span>
        <b>{passed}</b> of {total} <span className="wide-only">steps</span>
      </span>
    </span>
  );
}

function AcceleratorBadge(): ReactElement | null {
  const lab = useSessionState((state) => state.lab);
  const own = useSessionState(sessionOf)?.accelerator;
  const id = useId();
  const accelerator = own ?? lab?.accelerator;
  if (accelerator === undefined) return null;
  return (
    <>
      <button type="button" className="bar-item badge" popoverTarget={id}>
        {accelerator.toUpperCase()}
      </button>
      <div id={id} popover="auto" className="popover">
        {accelerator === 'kvm' ? (
          <p>
            <b>KVM.</b> The hosts run directly on this server’s processor, at nearly its full speed.
          </p>
        ) : (
          <>
            <p>
              <b>TCG.</b> QEMU emulates the hosts’ processors in software. Everything works, but ten to twenty
              times slower.
            </p>
            {lab !== null && lab.acceleratorReason !== '' && <p>{lab.acceleratorReason}</p>}
          </>
        )}
        {lab !== null && (
          <dl className="versions">
            {Object.entries(lab.versions).map(([name, version]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{version}</dd>
              </div>
            ))}
          </dl>
        )}
      </div>
    </>
  );
}

/** Buttons for full screen and for the arrangement of the two hosts. */
function Arrange(): ReactElement {
  const session = useLabSession();
  const hosts = useSessionState((state) => state.layout.hosts);
  const full = useSyncExternalStore(
    (changed) => {
      document.addEventListener('fullscreenchange', changed);
      return () => {
        document.removeEventListener('fullscreenchange', changed);
      };
    },
    () => document.fullscreenElement !== null,
    () => false,
  );
  const beside = hosts === 'beside';
  return (
    <>
      <button
        type="button"
        className="icon-button"
        aria-label="Hosts side by side"
        aria-pressed={beside}
        title={beside ? 'Stack the hosts' : 'Show the hosts side by side'}
        onClick={() => {
          session.arrangeHosts(beside ? 'stacked' : 'beside');
        }}
      >
        <Glyph name={beside ? 'stack' : 'split'} />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label="Full screen"
        aria-pressed={full}
        title={full ? 'Exit full screen' : 'Full screen'}
        onClick={() => {
          // A browser may refuse. Then nothing happens, and F11 still works.
          if (full) void document.exitFullscreen();
          else document.documentElement.requestFullscreen().catch(() => undefined);
        }}
      >
        <Glyph name={full ? 'shrink' : 'zoom'} />
      </button>
    </>
  );
}

/** @param canArrange whether the lesson and both hosts fit on the page together */
export function TopBar({ canArrange }: { canArrange: boolean }): ReactElement {
  const { lesson } = useLabSession();
  return (
    <header className="top-bar">
      <Wordmark />
      <span className="bar-title">{lesson.title}</span>
      <Progress />
      <span className="bar-space" />
      <AcceleratorBadge />
      <TimeLeft />
      <ConnectionMark />
      {canArrange && <Arrange />}
      <ShortcutList />
      <Settings />
      <SessionMenu />
    </header>
  );
}
