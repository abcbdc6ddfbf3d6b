/** A read-only terminal that shows a recording. */
import { Terminal } from '@xterm/xterm';
import { readTheme } from '../ui/terminal-theme';
import type { Screen } from './playback';

const fontFamily = '"JetBrains Mono Variable", ui-monospace, monospace';
/** The font size is chosen in this range so the recording fits the page; smaller text would be unreadable. */
const fontSizePx = { smallest: 7, largest: 14 };
/** Width of a cell in this font, as a fraction of the font size. */
const cellWidth = 0.6;

export class RecordedScreen implements Screen {
  readonly #terminal: Terminal;
  readonly #stopWatching: () => void;

  constructor(container: HTMLElement, columns: number, rows: number) {
    const fitting = Math.floor((container.clientWidth - 16) / (columns * cellWidth));
    this.#terminal = new Terminal({
      cols: columns,
      rows,
      fontFamily,
      fontSize: Math.min(fontSizePx.largest, Math.max(fontSizePx.smallest, fitting)),
      lineHeight: 1.2,
      minimumContrastRatio: 4.5,
      disableStdin: true,
      cursorInactiveStyle: 'outline',
      theme: readTheme(container),
    });
    this.#terminal.open(container);
    // The terminal takes no input, so it must not take the keyboard focus.
    this.#terminal.textarea?.setAttribute('tabindex', '-1');
    const applyTheme = (): void => {
      this.#terminal.options.theme = readTheme(container);
    };
    const dark = window.matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', applyTheme);
    const chosen = new MutationObserver(applyTheme);
    chosen.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    this.#stopWatching = () => {
      dark.removeEventListener('change', applyTheme);
      chosen.disconnect();
    };
  }

  clear(): void {
    // RIS instead of reset(): it takes effect after the output that is still waiting to be parsed.
    this.#terminal.write('\x1bc');
  }

  write(text: string): void {
    this.#terminal.write(text);
  }

  dispose(): void {
    this.#stopWatching();
    this.#terminal.dispose();
  }
}
