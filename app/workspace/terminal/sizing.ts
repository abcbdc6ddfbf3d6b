/** Sizes a terminal: measures what fits, and shrinks the text to show a larger page's terminal completely. */
import { FitAddon } from '@xterm/addon-fit';
import type { Terminal } from '@xterm/xterm';
import type { TerminalSize } from '../../../server/client/terminal-stream';

/** Smaller text would be unreadable, so a larger terminal is cut off instead. */
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

  /** @returns whether the size changed */
  setFontSize(px: number): boolean {
    const isChange = px !== this.#fontSizePx;
    this.#fontSizePx = px;
    return isChange;
  }

  /** The size that fits into the terminal's area; undefined while it has none. */
  measure(): TerminalSize | undefined {
    if (this.#element.clientWidth === 0 || this.#element.clientHeight === 0) return undefined;
    const shownPx = this.#terminal.options.fontSize ?? this.#fontSizePx;
    const proposed = this.#fit.proposeDimensions();
    if (proposed === undefined || Number.isNaN(proposed.cols) || Number.isNaN(proposed.rows))
      return undefined;
    // A shrunk terminal's text is smaller than the learner's choice.
    const scale = shownPx / this.#fontSizePx;
    return {
      columns: Math.min(1000, Math.max(2, Math.floor(proposed.cols * scale))),
      rows: Math.min(1000, Math.max(2, Math.floor(proposed.rows * scale))),
    };
  }

  /**
   * Resizes the terminal. @param fits the size that fits into its area
   * @param isShrunk whether to shrink the text if the terminal is larger than that
   * @returns false when the fit must be measured again, because measurements of shrunk text are inexact
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

  /** Finds the largest text size that fits. Cells are whole pixels, so the scale is only the first guess. */
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
