/** The terminals of one page, created when first shown and kept until they are closed. */
import type { HostName } from '../../../server/protocol/hosts';
import type { Connection } from '../../../server/client/connection';
import type { HostTerminal, TerminalHandlers } from './terminal';

declare global {
  interface Window {
    /** For tests and debugging: this page's xterm terminals by their ids; a host's first has the host's name. */
    labTerminals?: Record<HostName, HostTerminal['terminal']> &
      Partial<Record<string, HostTerminal['terminal']>>;
  }
}

export class TerminalSet {
  readonly #Made: typeof HostTerminal;
  readonly #connection: Connection;
  readonly #handlers: (id: string) => TerminalHandlers;
  #fontSizePx: number;
  readonly #terminals = new Map<string, HostTerminal>();
  #screenReaderMode = false;

  /** @param Made loaded separately, because it is larger than the rest of the page */
  constructor(
    Made: typeof HostTerminal,
    connection: Connection,
    handlers: (id: string) => TerminalHandlers,
    fontSizePx: number,
  ) {
    this.#Made = Made;
    this.#connection = connection;
    this.#handlers = handlers;
    this.#fontSizePx = fontSizePx;
  }

  get(id: string): HostTerminal {
    const known = this.#terminals.get(id);
    if (known !== undefined) return known;
    const made = new this.#Made(id, this.#connection, this.#handlers(id), this.#fontSizePx);
    made.setScreenReaderMode(this.#screenReaderMode);
    this.#terminals.set(id, made);
    this.#expose();
    return made;
  }

  /** Disposes of terminals that no longer exist. */
  keepOnly(ids: readonly string[]): void {
    for (const [id, terminal] of this.#terminals) {
      if (ids.includes(id)) continue;
      this.#terminals.delete(id);
      terminal.dispose();
    }
    this.#expose();
  }

  setScreenReaderMode(on: boolean): void {
    this.#screenReaderMode = on;
    for (const terminal of this.#terminals.values()) terminal.setScreenReaderMode(on);
  }

  setFontSize(px: number): void {
    this.#fontSizePx = px;
    for (const terminal of this.#terminals.values()) terminal.setFontSize(px);
  }

  dispose(): void {
    this.keepOnly([]);
    delete window.labTerminals;
  }

  #expose(): void {
    window.labTerminals = Object.fromEntries(
      [...this.#terminals].map(([id, { terminal }]) => [id, terminal]),
    ) as NonNullable<Window['labTerminals']>;
  }
}
