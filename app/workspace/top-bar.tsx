'use client';

import { useId, useSyncExternalStore, type ReactElement } from 'react';
import { ThemeChoice } from '../ui/theme-choice';
import { Glyph } from '../ui/glyph';
import { fontSizesPx, usePreference } from '../ui/preferences';
import { Wordmark } from '../ui/wordmark';
import { spellDuration } from '../ui/time';
import { useNow } from '../ui/use-now';
import { useLabSession, useSessionState } from './session/context';
import { changeFontSize } from './panes/host-pane';
import { endWarningMs } from './session/notice-strip';
import { SessionMenu } from './session/session-menu';
import { ConnectionMark } from './session/connection-mark';
import { ShortcutList } from './panes/shortcut-list';
import { paneKey } from './panes/shortcuts';
import '../ui/popover.css';
import './top-bar.css';

function TimeLeft(): ReactElement | null {
  const endsAtMs = useSessionState((state) => state.deadline?.endsAtMs);
  const warningMs = useSessionState((state) => state.deadline?.warningMs ?? endWarningMs);
  const nowMs = useNow(10_000);
  if (endsAtMs === undefined) return null;
  const leftMs = endsAtMs - nowMs;
  return (
    <span
      className="bar-item time-left"
      data-short={leftMs <= warningMs}
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

/** How much of the computer's screen the page has, and how the hosts share it. */
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
        title={beside ? 'Hosts one above the other' : 'Hosts side by side'}
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
        title={full ? 'End full screen' : 'Full screen'}
        onClick={() => {
          // A browser may refuse it; then nothing happens, and F11 is still there.
          if (full) void document.exitFullscreen();
          else document.documentElement.requestFullscreen().catch(() => undefined);
        }}
      >
        <Glyph name={full ? 'shrink' : 'zoom'} />
      </button>
    </>
  );
}

export function Settings(): ReactElement {
  const id = useId();
  const [screenReaderMode, setScreenReaderMode] = usePreference('screenReaderMode');
  const [fontSizePx] = usePreference('fontSizePx');
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
        <div className="setting">
          <span>Text in the terminals</span>
          <span className="stepper">
            <button
              type="button"
              className="button button-small"
              aria-label="Smaller text"
              disabled={fontSizePx <= fontSizesPx.least}
              onClick={() => {
                changeFontSize('smaller');
              }}
            >
              A−
            </button>
            <span>{fontSizePx}</span>
            <button
              type="button"
              className="button button-small"
              aria-label="Larger text"
              disabled={fontSizePx >= fontSizesPx.most}
              onClick={() => {
                changeFontSize('larger');
              }}
            >
              A+
            </button>
          </span>
        </div>
        <p className="muted">
          <kbd>{paneKey}</kbd> goes from the lesson to the source, the destination and back, <kbd>Shift</kbd>{' '}
          <kbd>{paneKey}</kbd> the other way round. Splitters move with the arrow keys.
        </p>
      </div>
    </>
  );
}

/** @param canArrange whether there is room for more than one thing at a time */
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
