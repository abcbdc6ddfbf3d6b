/** How large a terminal is: what fits into its place, and letters small enough to show a larger page's terminal whole. */
import { FitAddon } from '@xterm/addon-fit';
import type { Terminal } from '@xterm/xterm';
import type { TerminalSize } from '../../../server/client/terminal-stream';

/** With smaller letters than this, nobody could read; a larger page's terminal is cut instead. */
const leastShrunkPx = 6;

export const sameSize = (one: TerminalSize, other: TerminalSize): boolean =>
  one.columns === other.columns && one.rows === other.rows;

export class Sizing {
  readonly #terminal: Terminal;
  readonly #element: HTMLElement;
  #fontSizePx: number;
  readonly #fit = new FitAddon();

  /** @param fontSizePx as the learner wants it */
  constructor(terminal: Terminal, element: HTMLElement, fontSizePx: number) {
    this.#terminal = terminal;
    this.#element = element;
    this.#fontSizePx = fontSizePx;
    terminal.loadAddon(this.#fit);
  }

  /** @returns whether that is a change */
  setFontSize(px: number): boolean {
    const isChange = px !== this.#fontSizePx;
    this.#fontSizePx = px;
    return isChange;
  }

  /** What fits into the terminal's place; undefined while it has none. */
  measure(): TerminalSize | undefined {
    if (this.#element.clientWidth === 0 || this.#element.clientHeight === 0) return undefined;
    const shownPx = this.#terminal.options.fontSize ?? this.#fontSizePx;
    const proposed = this.#fit.proposeDimensions();
    if (proposed === undefined || Number.isNaN(proposed.cols) || Number.isNaN(proposed.rows))
      return undefined;
    // A shrunk terminal's letters are smaller than the learner wants them.
    const scale = shownPx / this.#fontSizePx;
    return {
      columns: Math.min(1000, Math.max(2, Math.floor(proposed.cols * scale))),
      rows: Math.min(1000, Math.max(2, Math.floor(proposed.rows * scale))),
    };
  }

  /**
   * Gives the terminal a size. @param fits what fits into its place
   * @param isShrunk whether it is shown whole, in smaller letters, if it is larger than that
   * @returns false when what fits must be measured again: measurements in smaller letters are not exact
   */
  resize(size: TerminalSize, fits: TerminalSize, isShrunk: boolean): boolean {
    const scale = isShrunk ? Math.min(1, fits.columns / size.columns, fits.rows / size.rows) : 1;
    if (this.#terminal.cols !== size.columns || this.#terminal.rows !== size.rows)
      this.#terminal.resize(size.columns, size.rows);
    if (scale < 1) this.#shrink(size, scale);
    else if (this.#terminal.options.fontSize !== this.#fontSizePx) {
      this.#terminal.options.fontSize = this.#fontSizePx;
      return false;
    }
    return true;
  }

  /** Finds the largest letters in which it fits. Cells are whole pixels, so the scale is only where to begin. */
  #shrink(size: TerminalSize, scale: number): void {
    let fontSize = Math.ceil(this.#fontSizePx * scale * 2) / 2;
    for (; fontSize > leastShrunkPx; fontSize -= 0.5) {
      if (this.#terminal.options.fontSize !== fontSize) this.#terminal.options.fontSize = fontSize;
      const room = this.#fit.proposeDimensions();
      if (room === undefined || (room.cols >= size.columns && room.rows >= size.rows)) return;
    }
    this.#terminal.options.fontSize = leastShrunkPx;
  }
}
