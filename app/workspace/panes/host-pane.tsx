'use client';

import { useId, useState, type KeyboardEvent, type ReactElement } from 'react';
import { hostAddresses, type HostName as Host } from '../../../server/protocol/hosts';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { Glyph } from '../../ui/glyph';
import { HostName } from '../../ui/host';
import { changeFontSize } from '../../ui/preferences';
import { useLabSession, useSessionState } from '../session/context';
import { brokenSinceMs, isOnline, isOwner, layoutOf, terminalsOf } from '../session/selectors';
import type { HostTerminal } from '../terminal/terminal';
import type { TerminalSet } from '../terminal/terminal-set';
import { TerminalSlot } from '../terminal/terminal-slot';
import { TerminalTabs } from '../terminal/terminal-tabs';
import type { RefusedKeys } from '../terminal/use-terminals';
import { HostState } from './host-state';
import { activeTerminal, type Direction } from './pane-layout';
import { PaneMenu } from './pane-menu';
import { paneKey, shortcutOf, type Shortcut } from './shortcuts';
import { TerminalSplit } from './terminal-split';
import '../../ui/menu.css';
import './splitter.css';
import './host-pane.css';

/** Says that the page did not send the learner's keys. */
function RefusedKeysNote({ refused }: { refused: RefusedKeys }): ReactElement {
  const brokenSince = useSessionState(brokenSinceMs);
  const isOffline = brokenSince !== null && refused.brokenSinceMs === brokenSince;
  return (
    <div role="status">
      {(isOffline || refused.why === 'watching') && (
        // A new key restarts the animation, so each refused key is visible.
        <p className="host-refusal" key={refused.count} data-why={refused.why}>
          {isOffline ? 'Not sent: no connection' : 'Not sent: viewers cannot type'}
        </p>
      )}
    </div>
  );
}

/** A host: its name, address and state, and its terminals once they exist. */
export function HostPane(props: {
  host: Host;
  terminals: TerminalSet | null;
  refused: RefusedKeys;
  /** Whether the host fills the page; undefined where only one host fits anyway. */
  zoomed: boolean | undefined;
  setZoomed: (zoomed: boolean) => void;
}): ReactElement {
  const { host, terminals, refused, zoomed, setZoomed } = props;
  const session = useLabSession();
  const hintId = useId();
  const infos = useSessionState(terminalsOf);
  const layout = useSessionState(layoutOf(host));
  const owned = useSessionState(isOwner);
  const online = useSessionState(isOnline);
  const [searching, setSearching] = useState<string | null>(null);
  /** The terminal that the learner wants closed. */
  const [closing, setClosing] = useState<string | null>(null);
  const shown = layout.shown.flatMap((id) => infos.find((one) => one.id === id) ?? []);
  const active = activeTerminal(layout);
  const own = infos.filter((one) => one.host === host);
  const isSplit = layout.shown.length > 1;
  const terminal = (): HostTerminal | undefined =>
    infos.some(({ id }) => id === active) ? terminals?.get(active) : undefined;

  const focus = (id: string): void => {
    terminals?.get(id).focus();
  };
  /** Focuses a terminal when it is on view. */
  const focusSoon = (id: string): void => {
    requestAnimationFrame(() => {
      focus(id);
    });
  };
  const open = (): void => {
    if (!owned) return;
    session.openTerminal(host, (opened) => {
      if (opened !== null) focusSoon(opened);
    });
  };
  const split = (direction: Direction): void => {
    if (isSplit && layout.split === direction) session.unsplitHost(host);
    else if (owned || own.length > 1) session.splitHost(host, direction, focusSoon);
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
  const actions: Record<Exclude<Shortcut, 'next-pane' | 'previous-pane'>, () => void> = {
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
    const shortcut = shortcutOf(event.nativeEvent);
    // The whole page handles these.
    if (shortcut === undefined || shortcut === 'next-pane' || shortcut === 'previous-pane') return;
    event.preventDefault();
    actions[shortcut]();
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
        <HostState host={host} />
        <span className="host-hint" id={hintId}>
          <kbd>{paneKey}</kbd> leaves the terminal
        </span>
        {own.length > 0 && (
          <div className="host-tools">
            <TerminalTabs host={host} focus={focus} closing={closing} setClosing={setClosing} />
            {owned && (
              <button
                type="button"
                className="icon-button"
                aria-label={`Open another terminal on ${host}`}
                title="Open another terminal"
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
                  aria-pressed={isSplit}
                  disabled={!online && own.length < 2}
                  onClick={() => {
                    split(isSplit ? layout.split : 'beside');
                  }}
                >
                  <Glyph name={isSplit && layout.split === 'stacked' ? 'stack' : 'split'} />
                </button>
                <button
                  type="button"
                  className="icon-button wide-only"
                  aria-label={`Maximize ${host}`}
                  title={zoomed ? 'Show the whole page' : 'Maximize'}
                  aria-pressed={zoomed}
                  onClick={() => {
                    setZoomed(!zoomed);
                  }}
                >
                  <Glyph name={zoomed ? 'shrink' : 'zoom'} />
                </button>
              </>
            )}
            <PaneMenu
              host={host}
              actions={actions}
              split={zoomed === undefined ? undefined : split}
              close={
                owned && active !== own[0]?.id
                  ? () => {
                      setClosing(active);
                    }
                  : undefined
              }
            />
          </div>
        )}
      </header>
      <div className="host-pane-body">
        {shown.length > 1 ? (
          <TerminalSplit host={host} infos={shown} slot={slot} />
        ) : (
          shown.slice(0, 1).map(slot)
        )}
      </div>
      <RefusedKeysNote refused={refused} />
    </section>
  );
}
