/** Opens, closes and renames a host's terminals, and chooses the visible ones. */
import type { Connection } from '../../../server/client/connection';
import type { HostName } from '../../../server/protocol/hosts';
import { readStored, writeStored } from '../../ui/preferences';
import * as layouts from '../panes/pane-layout';
import type { Direction, HostLayout, Layout } from '../panes/pane-layout';
import { randomId } from './random-id';
import { activeTerminalOf, isOnline, isOwner, layoutOf, terminalsOf } from './selectors';
import type { Store } from './session-store';

/** Storage of the layout; tests pass their own. */
export interface LayoutStore {
  load(): Layout | undefined;
  save(layout: Layout): void;
}

export const browserLayouts: LayoutStore = {
  load: () => readStored('layout', layouts.storedLayoutSchema),
  save: (layout) => {
    writeStored('layout', layout);
  },
};

export class TerminalActions {
  readonly #store: Store;
  readonly #connection: Connection;
  readonly #layoutStore: LayoutStore;

  constructor(store: Store, connection: Connection, layoutStore: LayoutStore) {
    this.#store = store;
    this.#connection = connection;
    this.#layoutStore = layoutStore;
  }

  /** Loads the layout from this browser's storage. */
  loadLayout(): void {
    const layout = this.#layoutStore.load();
    if (layout !== undefined) this.#store.dispatch({ type: 'layout', layout });
  }

  hostOf(terminal: string): HostName | undefined {
    return terminalsOf(this.#store.getState()).find(({ id }) => id === terminal)?.host;
  }

  /** The id of a host's terminal in use on this page. */
  active(host: HostName): string {
    return activeTerminalOf(host)(this.#store.getState());
  }

  /**
   * Requests one more terminal and shows it.
   * @param opened gets its id; null when it did not open
   * @returns false when nothing was requested because there is no connection
   */
  open(host: HostName, opened: (terminal: string | null) => void = () => undefined): boolean {
    const requestId = randomId();
    if (!this.#connection.openTerminal(host, requestId)) return false;
    this.#store.when(
      (state) => {
        if (state.phase !== 'active') return null;
        // A terminal requested before a break may or may not be open, so give up on it.
        return isOnline(state) ? state.opened[requestId] : null;
      },
      (terminal) => {
        if (terminal !== null) this.show(terminal);
        opened(terminal);
      },
    );
    return true;
  }

  /** Shows a terminal and makes it the one in use. */
  show(id: string): void {
    const host = this.hostOf(id);
    if (host !== undefined) this.#setHostLayout(host, layouts.show(this.#layoutOf(host), id));
  }

  /**
   * Shows a second terminal of a host: a hidden one or, if there is none, a new one.
   * @param added gets the id of the second terminal
   */
  split(host: HostName, direction: Direction, added: (id: string) => void): void {
    const layout = this.#layoutOf(host);
    if (layout.shown.length > 1) {
      this.#setHostLayout(host, { ...layout, split: direction });
      return;
    }
    const add = (id: string): void => {
      const order = terminalsOf(this.#store.getState()).map((one) => one.id);
      this.#setHostLayout(host, layouts.split(layout, direction, id, order));
      added(id);
    };
    const other = terminalsOf(this.#store.getState()).find(
      (one) => one.host === host && !layout.shown.includes(one.id),
    );
    if (other !== undefined) {
      add(other.id);
      return;
    }
    this.open(host, (terminal) => {
      if (terminal !== null) add(terminal);
    });
  }

  unsplit(host: HostName): void {
    this.#setHostLayout(host, layouts.unsplit(this.#layoutOf(host)));
  }

  /** Arranges source and destination side by side, or stacked. */
  arrangeHosts(hosts: Direction): void {
    this.#setLayout({ ...this.#store.getState().layout, hosts });
  }

  #layoutOf(host: HostName): HostLayout {
    return layoutOf(host)(this.#store.getState());
  }

  #setHostLayout(host: HostName, hostLayout: HostLayout): void {
    const { layout } = this.#store.getState();
    if (hostLayout === layout.hostLayouts[host]) return;
    this.#setLayout({ ...layout, hostLayouts: { ...layout.hostLayouts, [host]: hostLayout } });
  }

  #setLayout(layout: Layout): void {
    this.#store.dispatch({ type: 'layout', layout });
    if (isOwner(this.#store.getState())) this.#layoutStore.save(layout);
  }
}
