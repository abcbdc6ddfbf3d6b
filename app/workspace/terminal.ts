/**
 * One host's terminal in the browser: xterm, its own DOM element, and its wiring to the connection.
 *
 * It lives outside of the views, because a view that is laid out anew (a phone that is turned) must not lose the screen.
 */
import { FitAddon } from '@xterm/addon-fit';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { Terminal, type ITheme } from '@xterm/xterm';
import type { HostName } from '../../server/protocol/hosts';
import type { Connection } from './connection';
import { paneKey } from './panes';

const fontFamily = '"JetBrains Mono Variable", ui-monospace, monospace';
const fontSizePx = 14;

/** A drag across a splitter fires dozens of sizes a second; each one that is sent makes a shell redraw its line. */
const resizeSettleMs = 120;

/** Grey, so that it is not taken for the shell's; short enough for a phone's 40 columns. */
const newSessionNote = '\x1b[90mNew host. The old screen is cleared.\x1b[0m\r\n';

/** Colours by their names in the stylesheet (`--terminal-…`), so that they are written down once. */
const ansiNames = [
  'black',
  'red',
  'green',
  'yellow',
  'blue',
  'magenta',
  'cyan',
  'white',
  'brightBlack',
  'brightRed',
  'brightGreen',
  'brightYellow',
  'brightBlue',
  'brightMagenta',
  'brightCyan',
  'brightWhite',
] as const;

/** The terminals' colours, as the stylesheet has them where the element stands. */
export function readTheme(element: HTMLElement): ITheme {
  const probe = document.createElement('span');
  element.append(probe);
  const colour = (name: string): string => {
    probe.style.color = `var(--terminal-${name})`;
    return getComputedStyle(probe).color;
  };
  const theme: ITheme = {
    background: colour('background'),
    foreground: colour('foreground'),
    cursor: colour('cursor'),
    cursorAccent: colour('background'),
    selectionBackground: colour('selection'),
  };
  for (const name of ansiNames) {
    theme[name] = colour(name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`));
  }
  probe.remove();
  return theme;
}

export class HostTerminal {
  readonly element = document.createElement('div');
  /** Exposed to tests and debugging as `window.labTerminals`. */
  readonly terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #connection: Connection;
  readonly #host: HostName;
  readonly #onRefused: () => void;
  readonly #disposables: (() => void)[] = [];
  #opened = false;
  #resizeTimer: number | undefined;

  /**
   * @param onRefused something was typed that could not be sent
   */
  constructor(host: HostName, connection: Connection, onRefused: () => void) {
    this.#host = host;
    this.#connection = connection;
    this.#onRefused = onRefused;
    this.element.className = 'terminal-screen';
    this.terminal = new Terminal({
      fontFamily,
      fontSize: fontSizePx,
      lineHeight: 1.2,
      scrollback: 10_000,
      // The ratio that WCAG 2.2 asks for text of this size.
      minimumContrastRatio: 4.5,
      cursorBlink: !window.matchMedia('(prefers-reduced-motion: reduce)').matches,
    });
    this.terminal.loadAddon(this.#fit);
    this.terminal.loadAddon(new WebLinksAddon());
    this.terminal.attachCustomKeyEventHandler((event) => event.key !== paneKey);
    this.terminal.onData((text) => {
      this.#input(new TextEncoder().encode(text));
    });
    this.terminal.onBinary((text) => {
      this.#input(Uint8Array.from(text, (character) => character.charCodeAt(0)));
    });
    this.terminal.onResize(({ cols, rows }) => {
      window.clearTimeout(this.#resizeTimer);
      this.#resizeTimer = window.setTimeout(() => {
        connection.resize(host, { columns: cols, rows });
      }, resizeSettleMs);
    });
  }

  /** Waits for the font, since xterm measures it once: opened too early, every cell would have another font's width. */
  static async create(host: HostName, connection: Connection, onRefused: () => void): Promise<HostTerminal> {
    await Promise.all(
      ['400', '700'].map((weight) => document.fonts.load(`${weight} ${fontSizePx}px ${fontFamily}`)),
    );
    return new HostTerminal(host, connection, onRefused);
  }

  /** Moves the terminal into a container; the first time also opens it and asks for its output. */
  mount(container: HTMLElement, labelledBy: string, describedBy: string): void {
    container.append(this.element);
    if (!this.#opened) this.#open(labelledBy, describedBy);
    this.#fitWhenVisible();
  }

  focus(): void {
    this.terminal.focus();
  }

  setScreenReaderMode(on: boolean): void {
    this.terminal.options.screenReaderMode = on;
  }

  dispose(): void {
    this.#connection.detach(this.#host);
    window.clearTimeout(this.#resizeTimer);
    for (const dispose of this.#disposables) dispose();
    this.terminal.dispose();
    this.element.remove();
  }

  #open(labelledBy: string, describedBy: string): void {
    this.#opened = true;
    this.terminal.options.theme = readTheme(this.element);
    this.terminal.open(this.element);
    this.terminal.textarea?.removeAttribute('aria-label');
    this.terminal.textarea?.setAttribute('aria-labelledby', labelledBy);
    this.terminal.textarea?.setAttribute('aria-describedby', describedBy);

    const applyTheme = (): void => {
      this.terminal.options.theme = readTheme(this.element);
    };
    const dark = window.matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', applyTheme);
    const themeAttribute = new MutationObserver(applyTheme);
    themeAttribute.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    const size = new ResizeObserver(() => {
      this.#fitWhenVisible();
    });
    size.observe(this.element);
    this.#disposables.push(
      () => {
        dark.removeEventListener('change', applyTheme);
      },
      () => {
        themeAttribute.disconnect();
      },
      () => {
        size.disconnect();
      },
    );

    this.#fitWhenVisible();
    this.#connection.attach(
      this.#host,
      {
        write: (bytes, parsed) => {
          this.terminal.write(bytes, parsed);
        },
        // RIS, in its turn after the output that still waits to be parsed; Terminal.reset() would overtake it.
        reset: (why) => {
          this.terminal.write(`\x1bc${why === 'new-session' ? newSessionNote : ''}`);
        },
      },
      { columns: this.terminal.cols, rows: this.terminal.rows },
    );
  }

  #fitWhenVisible(): void {
    if (this.element.clientWidth > 0 && this.element.clientHeight > 0) this.#fit.fit();
  }

  #input(bytes: Uint8Array): void {
    if (!this.#connection.input(this.#host, bytes)) this.#onRefused();
  }
}
