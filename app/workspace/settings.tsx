'use client';

import { useId, type ReactElement } from 'react';
import { changeFontSize, fontSizesPx, usePreference } from '../ui/preferences';
import { ThemeChoice } from '../ui/theme-choice';
import { paneKey } from './panes/shortcuts';

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
          <span>Text size in the terminals</span>
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
          <kbd>{paneKey}</kbd> moves the focus to the next pane (lesson, source, destination),{' '}
          <kbd>Shift</kbd> <kbd>{paneKey}</kbd> to the previous one. The arrow keys move a splitter.
        </p>
      </div>
    </>
  );
}
