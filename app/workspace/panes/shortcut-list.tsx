'use client';

import { useId, useRef, type ReactElement } from 'react';
import { shortcutNames, shortcuts, type Shortcut } from './shortcuts';
import '../../ui/dialog.css';
import './shortcut-list.css';

function Keys({ keys }: { keys: readonly string[] }): ReactElement {
  return (
    <>
      {keys.map((key) => (
        <kbd key={key}>{key}</kbd>
      ))}
    </>
  );
}

function List({ heading, names }: { heading: string; names: readonly Shortcut[] }): ReactElement {
  return (
    <>
      <h3>{heading}</h3>
      <dl className="shortcut-list">
        {names.map((name) => (
          <div key={name}>
            <dt>
              <Keys keys={shortcuts[name].keys} />
            </dt>
            <dd>{shortcuts[name].does}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

const others: readonly [readonly string[], string][] = [
  [['←', '→'], 'On a terminal’s tab: go to the next tab'],
  [['F2'], 'On a terminal’s tab: rename it (or double-click the tab)'],
  [['Delete'], 'On a terminal’s tab: close the terminal'],
  [['↑', '↓', '←', '→'], 'On a splitter: move it'],
  [['Ctrl', 'Shift', 'V'], 'Paste, as the browser does'],
  [['Ctrl', 'click'], 'On a link in a terminal: open it'],
];

/** Lists the page's keyboard shortcuts. */
export function ShortcutList(): ReactElement {
  const dialog = useRef<HTMLDialogElement>(null);
  const headingId = useId();
  return (
    <>
      <button
        type="button"
        className="button button-quiet"
        aria-label="Keyboard shortcuts"
        title="Keyboard shortcuts"
        onClick={() => {
          dialog.current?.showModal();
        }}
      >
        ?
      </button>
      <dialog ref={dialog} className="dialog dialog-wide" aria-labelledby={headingId}>
        <h2 id={headingId}>Keyboard shortcuts</h2>
        <div className="dialog-text shortcut-lists" tabIndex={0}>
          <List heading="Everywhere" names={shortcutNames.filter((name) => !shortcuts[name].inTerminal)} />
          <List heading="In a terminal" names={shortcutNames.filter((name) => shortcuts[name].inTerminal)} />
          <h3>Around a terminal</h3>
          <dl className="shortcut-list">
            {others.map(([keys, does]) => (
              <div key={does}>
                <dt>
                  <Keys keys={keys} />
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </div>
        <form method="dialog" className="button-row">
          <button type="submit" className="button">
            Close
          </button>
        </form>
      </dialog>
    </>
  );
}
