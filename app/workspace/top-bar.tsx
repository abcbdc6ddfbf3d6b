'use client';

import { useId, type ReactElement } from 'react';
import { ThemeChoice } from '../ui/theme-choice';
import { usePreference } from '../ui/preferences';
import { Wordmark } from '../ui/wordmark';
import { spellDuration } from '../ui/time';
import { useNow } from '../ui/use-now';
import { useLabSession, useSessionState } from './context';
import { endWarningMs } from './notice-strip';
import { SessionMenu } from './session-menu';
import { paneKey } from './panes';

function TimeLeft(): ReactElement | null {
  const endsAtMs = useSessionState((state) => state.deadline?.endsAtMs);
  const nowMs = useNow(10_000);
  if (endsAtMs === undefined) return null;
  const leftMs = endsAtMs - nowMs;
  return (
    <span
      className="bar-item time-left"
      data-short={leftMs <= endWarningMs}
      title="When it is over, the hosts are gone"
    >
      {spellDuration(leftMs)} left
    </span>
  );
}

function Progress(): ReactElement {
  const { lesson } = useLabSession();
  const passed = useSessionState(
    (state) => lesson.steps.filter(({ id }) => state.steps[id]?.state === 'passed').length,
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
  const own = useSessionState((state) => state.session?.accelerator);
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
            <b>KVM.</b> The hosts run on this server’s processor itself, at nearly its full speed.
          </p>
        ) : (
          <>
            <p>
              <b>TCG.</b> The hosts’ processors are emulated in software. All that you see is real; it only
              takes ten to twenty times as long.
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

function ConnectionState(): ReactElement | null {
  const connection = useSessionState((state) => state.connection);
  const active = useSessionState((state) => state.session !== null && state.phase !== 'ended');
  if (!active) return null;
  const words = { open: 'Connected', connecting: 'Reconnecting', closed: 'Not connected' }[connection];
  return (
    <span className="bar-item connection" data-state={connection} role="status" title={words}>
      <span className="connection-mark" aria-hidden="true" />
      <span className="connection-words">{words}</span>
    </span>
  );
}

function Settings(): ReactElement {
  const id = useId();
  const [screenReaderMode, setScreenReaderMode] = usePreference('screenReaderMode');
  return (
    <>
      <button type="button" className="button button-quiet" popoverTarget={id}>
        Settings
      </button>
      <div id={id} popover="auto" className="popover settings">
        <div className="setting">
          <span>Theme</span>
          <ThemeChoice />
        </div>
        <label className="setting">
          <span>Screen reader support in the terminals</span>
          <input
            type="checkbox"
            checked={screenReaderMode}
            onChange={(event) => {
              setScreenReaderMode(event.target.checked);
            }}
          />
        </label>
        <p className="muted">
          <kbd>{paneKey}</kbd> goes from the lesson to the source, the destination and back, <kbd>Shift</kbd>{' '}
          <kbd>{paneKey}</kbd> the other way round. Splitters move with the arrow keys.
        </p>
      </div>
    </>
  );
}

export function TopBar(): ReactElement {
  const { lesson } = useLabSession();
  return (
    <header className="top-bar">
      <Wordmark />
      <span className="bar-title">{lesson.title}</span>
      <Progress />
      <span className="bar-space" />
      <AcceleratorBadge />
      <TimeLeft />
      <ConnectionState />
      <Settings />
      <SessionMenu />
    </header>
  );
}
