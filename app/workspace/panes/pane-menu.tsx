'use client';

import { useId, useRef, type ReactElement } from 'react';
import type { HostName as Host } from '../../../server/protocol/hosts';
import { Glyph } from '../../ui/glyph';
import { fontSizesPx, usePreference } from '../../ui/preferences';
import { saveFile } from '../../ui/save-file';
import { useLabSession, useSessionState } from '../session/context';
import { activeTerminalOf, isOnline, isOwner, layoutOf } from '../session/selectors';
import type { Direction } from './pane-layout';
import { shortcuts, type Shortcut } from './shortcuts';

/** Places a menu below its button, or above it if there is more room. */
function placeBeside(menu: HTMLElement, button: HTMLElement | null): void {
  if (button === null) return;
  const { top, bottom, right } = button.getBoundingClientRect();
  const below = bottom < window.innerHeight / 2;
  menu.style.inset = 'auto';
  menu.style.right = `${Math.max(4, window.innerWidth - right)}px`;
  if (below) menu.style.top = `${bottom + 4}px`;
  else menu.style.bottom = `${window.innerHeight - top + 4}px`;
}

/** An action and its key, as a menu shows them. */
function MenuItem(props: {
  label: string;
  shortcut?: Shortcut;
  disabled?: boolean;
  onChoose: () => void;
}): ReactElement {
  const keys = props.shortcut === undefined ? [] : shortcuts[props.shortcut].keys;
  return (
    <button type="button" className="menu-item" disabled={props.disabled} onClick={props.onChoose}>
      {props.label}
      {keys.length > 0 && <kbd>{keys.join(' ')}</kbd>}
    </button>
  );
}

/** Actions on the terminal in use of a host. */
export function PaneMenu(props: {
  host: Host;
  actions: Readonly<
    Record<'search' | 'copy-output' | 'previous-command' | 'next-command' | 'smaller' | 'larger', () => void>
  >;
  /** Undefined where there is no room for two terminals. */
  split: ((direction: Direction) => void) | undefined;
  /** Undefined when the terminal in use cannot be closed. */
  close: (() => void) | undefined;
}): ReactElement {
  const { host, actions, split, close } = props;
  const session = useLabSession();
  const active = useSessionState(activeTerminalOf(host));
  const layout = useSessionState(layoutOf(host));
  const owned = useSessionState(isOwner);
  const online = useSessionState(isOnline);
  const [fontSizePx] = usePreference('fontSizePx');
  const menuId = useId();
  const menu = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  /** Closes the menu first, so the focus returns to where it was. */
  const choose = (action: () => void) => (): void => {
    menu.current?.hidePopover();
    action();
  };
  const isSplit = (direction: Direction): boolean => layout.shown.length > 1 && layout.split === direction;

  return (
    <>
      <button
        type="button"
        className="icon-button"
        popoverTarget={menuId}
        aria-label={`More actions for ${host}`}
        title="More actions"
        ref={button}
      >
        <Glyph name="more" />
      </button>
      <div
        id={menuId}
        ref={menu}
        popover="auto"
        className="pane-menu"
        onBeforeToggle={(event) => {
          if (event.newState === 'open') placeBeside(event.currentTarget, button.current);
        }}
      >
        <MenuItem label="Search" shortcut="search" onChoose={choose(actions.search)} />
        <MenuItem label="Copy last output" shortcut="copy-output" onChoose={choose(actions['copy-output'])} />
        <MenuItem
          label="Go to previous command"
          shortcut="previous-command"
          onChoose={choose(actions['previous-command'])}
        />
        <MenuItem
          label="Go to next command"
          shortcut="next-command"
          onChoose={choose(actions['next-command'])}
        />
        <hr />
        {split !== undefined && (
          <>
            <MenuItem
              label={isSplit('beside') ? 'Show one terminal' : 'Show two side by side'}
              shortcut="split"
              onChoose={choose(() => {
                split('beside');
              })}
            />
            <MenuItem
              label={isSplit('stacked') ? 'Show one terminal' : 'Show two stacked'}
              onChoose={choose(() => {
                split('stacked');
              })}
            />
            <hr />
          </>
        )}
        <div className="menu-row">
          <span>Text size {fontSizePx}</span>
          <button
            type="button"
            className="button button-small"
            aria-label="Smaller text"
            disabled={fontSizePx <= fontSizesPx.least}
            onClick={actions.smaller}
          >
            A−
          </button>
          <button
            type="button"
            className="button button-small"
            aria-label="Larger text"
            disabled={fontSizePx >= fontSizesPx.most}
            onClick={actions.larger}
          >
            A+
          </button>
        </div>
        {owned && (
          <MenuItem
            label="Download recording"
            onChoose={choose(() => void session.takeRecording(active, saveFile))}
          />
        )}
        {close !== undefined && (
          <MenuItem label="Close terminal" disabled={!online} onChoose={choose(close)} />
        )}
      </div>
    </>
  );
}
