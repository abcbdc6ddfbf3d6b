'use client';

import { useId, useRef, useState, type KeyboardEvent, type ReactElement } from 'react';
import { Group, Panel, Separator, useDefaultLayout } from 'react-resizable-panels';
import { hostAddresses, type HostName as Host } from '../../../server/protocol/hosts';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { HostName } from '../../ui/host';
import { Glyph } from '../../ui/glyph';
import {
  fontSizesPx,
  panelStorage,
  readPreference,
  usePreference,
  writePreference,
} from '../../ui/preferences';
import { saveFile } from '../../ui/save-file';
import { spellRuntime } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { useLabSession, useSessionState } from '../session/context';
import { activeTerminal } from './arrangement';
import { paneKey, shortcutOf, shortcuts, type Shortcut } from './shortcuts';
import type { HostTerminal } from '../terminal/terminal';
import type { TerminalSet } from '../terminal/terminal-set';
import { TerminalSlot } from '../terminal/terminal-slot';
import { TerminalTabs } from '../terminal/terminal-tabs';
import '../../ui/menu.css';
import './splitter.css';
import './host-pane.css';

/** Keys that were pressed in vain. */
export interface Refusals {
  count: number;
  why: 'offline' | 'watching';
  /** In which break that was, by its beginning. */
  brokenSinceMs: number | null;
}

function useHostState(host: Host): string {
  const phase = useSessionState((state) => state.phase);
  const connection = useSessionState((state) => state.connection);
  const atPrompt = useSessionState((state) => state.atPrompt[activeTerminal(state.layout.views[host])]);
  switch (phase) {
    case 'loading':
      return '';
    case 'none':
      return 'not started';
    case 'ended':
      return 'gone';
    case 'failed':
      return 'failed';
    case 'queued':
      return 'not started';
    case 'rewinding':
      return connection === 'open' ? 'going back' : 'reconnecting';
    case 'ready':
      if (connection !== 'open') return 'reconnecting';
      return atPrompt === undefined ? 'running' : atPrompt ? 'at its prompt' : 'busy';
    default:
      return 'starting';
  }
}

/** How long the pair has been in its present phase. */
function SecondsGone(): ReactElement {
  const sinceMs = useSessionState((state) => state.pairAtMs);
  const nowMs = useNow(250);
  return <span aria-hidden="true">, {Math.max(0, Math.floor((nowMs - sinceMs) / 1000))} s</span>;
}

function RunningTime({ sinceMs }: { sinceMs: number }): ReactElement {
  const nowMs = useNow(1_000);
  const seconds = Math.floor((nowMs - sinceMs) / 1_000);
  // Most commands are over sooner, and their real time comes then.
  if (seconds < 2) return <></>;
  return <span aria-hidden="true">, {seconds < 60 ? `${seconds} s` : spellRuntime(seconds * 1_000)}</span>;
}

/** What came of the last command in the terminal in use. */
function LastCommand({ host }: { host: Host }): ReactElement | null {
  const last = useSessionState((state) => state.lastCommand[activeTerminal(state.layout.views[host])]);
  if (last?.state !== 'done') return null;
  const { exitCode, durationMs } = last;
  return (
    <span className="last-command" data-failed={exitCode !== 0} title="The last command’s exit code and time">
      {exitCode === null ? 'ended' : `exit ${exitCode}`}
      {durationMs !== null && <span className="last-command-time">, {spellRuntime(durationMs)}</span>}
    </span>
  );
}

export function changeFontSize(change: 'larger' | 'smaller' | 'usual-size'): void {
  const before = readPreference('fontSizePx');
  const after = { larger: before + 1, smaller: before - 1, 'usual-size': fontSizesPx.usual }[change];
  writePreference('fontSizePx', Math.min(fontSizesPx.most, Math.max(fontSizesPx.least, after)));
}

/** Puts a menu below its button, or above where there is more room. */
function placeBeside(menu: HTMLElement, button: HTMLElement | null): void {
  if (button === null) return;
  const { top, bottom, right } = button.getBoundingClientRect();
  const below = bottom < window.innerHeight / 2;
  menu.style.inset = 'auto';
  menu.style.right = `${Math.max(4, window.innerWidth - right)}px`;
  if (below) menu.style.top = `${bottom + 4}px`;
  else menu.style.bottom = `${window.innerHeight - top + 4}px`;
}

/** A name and its key, as a menu shows them. */
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

/** Two terminals of a host, and what is between them. */
function Split(props: {
  host: Host;
  infos: readonly TerminalInfo[];
  slot: (info: TerminalInfo) => ReactElement;
}): ReactElement {
  const direction = useSessionState((state) => state.layout.views[props.host].split);
  const id = `split-${props.host}-${direction}`;
  const sizes = useDefaultLayout({ id, storage: panelStorage, onlySaveAfterUserInteractions: true });
  const [first, second] = props.infos;
  if (first === undefined || second === undefined) return <></>;
  return (
    <Group
      key={id}
      id={id}
      className="split"
      orientation={direction === 'beside' ? 'horizontal' : 'vertical'}
      {...sizes}
    >
      <Panel id="first" minSize="80px">
        {props.slot(first)}
      </Panel>
      <Separator className="splitter" aria-label={`Size of ${first.name} and ${second.name}`} />
      <Panel id="second" minSize="80px">
        {props.slot(second)}
      </Panel>
    </Group>
  );
}

/** A host: its name, address and state, and its terminals once there are any. */
export function HostPane(props: {
  host: Host;
  terminals: TerminalSet | null;
  refusals: Refusals;
  /** Whether it fills the page; undefined where there is no room for more anyway. */
  zoomed: boolean | undefined;
  setZoomed: (zoomed: boolean) => void;
}): ReactElement {
  const { host, terminals, refusals, zoomed, setZoomed } = props;
  const session = useLabSession();
  const hintId = useId();
  const menuId = useId();
  const menu = useRef<HTMLDivElement>(null);
  const menuButton = useRef<HTMLButtonElement>(null);
  const state = useHostState(host);
  const last = useSessionState((all) => all.lastCommand[activeTerminal(all.layout.views[host])]);
  const infos = useSessionState((all) => all.terminals);
  const view = useSessionState((all) => all.layout.views[host]);
  const isOwner = useSessionState((all) => all.role === 'owner');
  const online = useSessionState((all) => all.connection === 'open');
  const [fontSizePx] = usePreference('fontSizePx');
  const [searching, setSearching] = useState<string | null>(null);
  /** The terminal that the learner wants closed. */
  const [closing, setClosing] = useState<string | null>(null);
  const shown = view.shown.flatMap((id) => infos.find((one) => one.id === id) ?? []);
  const active = activeTerminal(view);
  const own = infos.filter((one) => one.host === host);
  const rewinding = state === 'going back';
  const brokenSinceMs = useSessionState((all) => all.brokenSinceMs);
  const refusedNow = brokenSinceMs !== null && refusals.brokenSinceMs === brokenSinceMs;
  const terminal = (): HostTerminal | undefined =>
    infos.some(({ id }) => id === active) ? terminals?.get(active) : undefined;

  const focus = (id: string): void => {
    terminals?.get(id).focus();
  };
  /** When it is on view. */
  const focusSoon = (id: string): void => {
    requestAnimationFrame(() => {
      focus(id);
    });
  };
  const open = (): void => {
    if (!isOwner) return;
    session.openTerminal(host, (opened) => {
      if (opened !== undefined) focusSoon(opened.id);
    });
  };
  const split = (direction: 'beside' | 'stacked'): void => {
    if (view.shown.length > 1 && view.split === direction) session.unsplitHost(host);
    else if (isOwner || own.length > 1) session.splitHost(host, direction, focusSoon);
  };
  const step = (by: number): void => {
    const index = own.findIndex(({ id }) => id === active);
    const next = own[(index + by + own.length) % own.length];
    if (next === undefined || next.id === active) return;
    session.showTerminal(next.id);
    focusSoon(next.id);
  };
  const jump = (direction: 'previous' | 'next'): void => {
    const where = terminal()?.jump(direction);
    if (where !== undefined) session.announce(where);
  };
  const does: Partial<Record<Shortcut, () => void>> = {
    search: () => {
      setSearching(active);
    },
    copy: () => void terminal()?.copySelection(),
    'previous-command': () => {
      jump('previous');
    },
    'next-command': () => {
      jump('next');
    },
    'copy-output': () => void terminal()?.copyOutput(),
    'previous-terminal': () => {
      step(-1);
    },
    'next-terminal': () => {
      step(1);
    },
    'new-terminal': open,
    split: () => {
      split('beside');
    },
    zoom: () => {
      if (zoomed !== undefined) setZoomed(!zoomed);
    },
    larger: () => {
      changeFontSize('larger');
    },
    smaller: () => {
      changeFontSize('smaller');
    },
    'usual-size': () => {
      changeFontSize('usual-size');
    },
  };
  const onKey = (event: KeyboardEvent): void => {
    const name = shortcutOf(event.nativeEvent);
    const action = name && does[name];
    if (action === undefined) return;
    event.preventDefault();
    action();
  };
  /** An item of the menu: it closes first, so that the focus comes back to where it was. */
  const choose = (action: (() => void) | undefined) => (): void => {
    menu.current?.hidePopover();
    action?.();
  };

  const slot = (info: TerminalInfo): ReactElement =>
    terminals === null ? (
      <></>
    ) : (
      <TerminalSlot
        key={info.id}
        info={info}
        terminal={terminals.get(info.id)}
        isActive={info.id === active}
        hintId={hintId}
        searching={searching === info.id}
        endSearch={() => {
          setSearching(null);
          focus(info.id);
        }}
      />
    );

  return (
    <section
      className="host-pane"
      data-host={host}
      data-pane={host}
      data-split={shown.length > 1}
      aria-label={`Host ${host}`}
      onKeyDown={onKey}
    >
      <header className="host-pane-head">
        <h2>
          <HostName host={host} />
        </h2>
        <span className="host-address">{hostAddresses[host]}</span>
        <span className="host-state" data-state={state}>
          {state}
          {rewinding && <SecondsGone />}
          {state === 'busy' && last?.state === 'running' && last.sinceMs !== null && (
            <RunningTime sinceMs={last.sinceMs} />
          )}
        </span>
        {state === 'at its prompt' && <LastCommand host={host} />}
        <span className="host-hint" id={hintId}>
          <kbd>{paneKey}</kbd> leaves the terminal
        </span>
        {own.length > 0 && (
          <div className="host-tools">
            <TerminalTabs host={host} focus={focus} closing={closing} setClosing={setClosing} />
            {isOwner && (
              <button
                type="button"
                className="icon-button"
                aria-label={`One more terminal on ${host}`}
                title="One more terminal"
                disabled={!online}
                onClick={open}
              >
                <Glyph name="plus" />
              </button>
            )}
            {zoomed !== undefined && (
              <>
                <button
                  type="button"
                  className="icon-button wide-only"
                  aria-label="Two terminals side by side"
                  title="Two terminals side by side"
                  aria-pressed={view.shown.length > 1}
                  disabled={!online && own.length < 2}
                  onClick={() => {
                    split(view.shown.length > 1 ? view.split : 'beside');
                  }}
                >
                  <Glyph name={view.shown.length > 1 && view.split === 'stacked' ? 'stack' : 'split'} />
                </button>
                <button
                  type="button"
                  className="icon-button wide-only"
                  aria-label={`Fill the page with ${host}`}
                  title={zoomed ? 'Back to all' : 'Fill the page'}
                  aria-pressed={zoomed}
                  onClick={() => {
                    setZoomed(!zoomed);
                  }}
                >
                  <Glyph name={zoomed ? 'shrink' : 'zoom'} />
                </button>
              </>
            )}
            <button
              type="button"
              className="icon-button"
              popoverTarget={menuId}
              aria-label={`More for the terminals of ${host}`}
              title="More"
              ref={menuButton}
            >
              <Glyph name="more" />
            </button>
            <div
              id={menuId}
              ref={menu}
              popover="auto"
              className="pane-menu"
              onBeforeToggle={(event) => {
                if (event.newState === 'open') placeBeside(event.currentTarget, menuButton.current);
              }}
            >
              <MenuItem label="Search" shortcut="search" onChoose={choose(does.search)} />
              <MenuItem
                label="Copy the last output"
                shortcut="copy-output"
                onChoose={choose(does['copy-output'])}
              />
              <MenuItem
                label="Command before"
                shortcut="previous-command"
                onChoose={choose(does['previous-command'])}
              />
              <MenuItem
                label="Command after"
                shortcut="next-command"
                onChoose={choose(does['next-command'])}
              />
              <hr />
              {zoomed !== undefined && (
                <>
                  <MenuItem
                    label={
                      view.shown.length > 1 && view.split === 'beside' ? 'One terminal' : 'Two side by side'
                    }
                    shortcut="split"
                    onChoose={choose(() => {
                      split('beside');
                    })}
                  />
                  <MenuItem
                    label={
                      view.shown.length > 1 && view.split === 'stacked'
                        ? 'One terminal'
                        : 'Two above each other'
                    }
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
                  onClick={does.smaller}
                >
                  A−
                </button>
                <button
                  type="button"
                  className="button button-small"
                  aria-label="Larger text"
                  disabled={fontSizePx >= fontSizesPx.most}
                  onClick={does.larger}
                >
                  A+
                </button>
              </div>
              {isOwner && (
                <MenuItem
                  label="Download this terminal’s recording"
                  onChoose={choose(() => void session.takeRecording(active, saveFile))}
                />
              )}
              {isOwner && active !== own[0]?.id && (
                <MenuItem
                  label="Close this terminal"
                  disabled={!online}
                  onChoose={choose(() => {
                    setClosing(active);
                  })}
                />
              )}
            </div>
          </div>
        )}
      </header>
      <div className="host-pane-body">
        {shown.length > 1 ? <Split host={host} infos={shown} slot={slot} /> : shown.slice(0, 1).map(slot)}
      </div>
      <div role="status">
        {(refusedNow || refusals.why === 'watching') && (
          // A new key starts the animation again, so that each refused key is seen.
          <p className="host-refusal" key={refusals.count} data-why={refusals.why}>
            {refusedNow ? 'Not sent: there is no connection' : 'You are watching: keys do nothing'}
          </p>
        )}
      </div>
    </section>
  );
}
