/**
 * One terminal in the browser: xterm, its own DOM element, and its wiring to the connection.
 *
 * It lives outside of the views, because a view that is laid out anew (a phone that is turned, a tab that is not on view) must not lose
 * the screen. Its size is what the server says; what fits into the page is only told to the server.
 */
import { FitAddon } from '@xterm/addon-fit';
import { SearchAddon, type ISearchOptions } from '@xterm/addon-search';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { WebglAddon } from '@xterm/addon-webgl';
import { Terminal, type IDecoration } from '@xterm/xterm';
import type { ShellMark, ShownCommand } from '../../../server/protocol/terminal';
import { prepareTerminal } from '../../../server/protocol/xterm';
import { spellRuntime } from '../../ui/time';
import { copyText } from '../../ui/copy-text';
import { linesEntered, readProgramCopy, withoutEscapes } from './clipboard';
import { CommandTrack, type TrackedCommand } from './command-track';
import type { Connection, InputResult, TerminalSink, TerminalSize } from '../../../server/client/connection';
import { OutputQueue } from './output-queue';
import type { CommandState } from '../session/session';
import { shortcutOf } from '../panes/shortcuts';
import { leastContrast, readColours, readTheme } from '../../ui/terminal-theme';

const fontFamily = '"JetBrains Mono Variable", ui-monospace, monospace';

/** Lines kept above the screen; of these the server repaints the newest (screen.ts). */
const scrollbackLines = 10_000;

/** A drag across a splitter fires dozens of sizes a second; each one that is sent makes a shell redraw its line. */
const resizeSettleMs = 50;

/** Smaller than this a larger page's terminal is cut rather than shrunk. */
const leastShrunkPx = 6;

/** Colours of the page for what is drawn into the terminal. */
const ownColours = ['ink-faint', 'alarm', 'destination', 'terminal-selection'] as const;
type OwnColour = (typeof ownColours)[number];

/** Until the server has said anything: what terminals have been since there are any. */
const firstSize: TerminalSize = { columns: 80, rows: 24 };

/** What the views show of a terminal beside its screen. */
export interface TerminalState {
  size: TerminalSize;
  /** What would fit into its place on the page. */
  fits: TerminalSize;
  /** Whether this page decides the size; undefined before the server has said. */
  active: boolean | undefined;
  /** Something that happened and passes by: what is said, and since when, so that the same can be said again. */
  note: { text: string; copy?: string; atMs: number } | null;
  /** A paste that would enter lines at once and waits for the learner's word. */
  paste: { text: string; lines: number } | null;
  found: { index: number; count: number } | null;
  /** A click on the mark beside a command. */
  menu: { command: TrackedCommand; at: DOMRect } | null;
}

export interface TerminalHandlers {
  /** Something was typed that will not arrive. */
  onRefused: (why: Exclude<InputResult, 'taken'>) => void;
  /** The learner's keys go to this terminal from now on. */
  onFocus: () => void;
}

const sameSize = (one: TerminalSize, other: TerminalSize): boolean =>
  one.columns === other.columns && one.rows === other.rows;

/** Mouse and focus reports: what the program asked for, and the learner did not type. */

const isReport = (text: string): boolean => /^\x1b\[(I|O|M|<)/.test(text);

/** How a command's mark is drawn and read out. */
export function spellCommand(state: CommandState): { kind: 'running' | 'ok' | 'failed'; words: string } {
  if (state.state === 'running') return { kind: 'running', words: 'running' };
  const time = state.durationMs === null ? '' : `, ${spellRuntime(state.durationMs)}`;
  if (state.exitCode === null) return { kind: 'failed', words: `ended${time}` };
  return { kind: state.exitCode === 0 ? 'ok' : 'failed', words: `exit ${state.exitCode}${time}` };
}

/** Names of drivers that draw without a graphics card: of Chromium, of Mesa, of Windows. */
const softwareDriver = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/**
 * A software renderer draws slower through WebGL than through the DOM: in Chromium with SwiftShader a flood was parsed five times
 * slower. Chromium gives it to a page that asks for no such thing, so its name is looked at too.
 */
function hasFastWebgl(): boolean {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('webgl2', { failIfMajorPerformanceCaveat: true });
  if (context === null) return false;
  const info = context.getExtension('WEBGL_debug_renderer_info');
  const driver: unknown = info === null ? '' : context.getParameter(info.UNMASKED_RENDERER_WEBGL);
  context.getExtension('WEBGL_lose_context')?.loseContext();
  return !softwareDriver.test(String(driver));
}
let fastWebgl: boolean | undefined;

export class HostTerminal {
  readonly element = document.createElement('div');
  /** Exposed to tests and debugging as `window.labTerminals`. */
  readonly terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #search = new SearchAddon();
  readonly #queue: OutputQueue;
  readonly #commands: CommandTrack;
  readonly #decorations = new Map<TrackedCommand, IDecoration>();
  readonly #listeners = new Set<() => void>();
  readonly #disposables: (() => void)[] = [];
  #webgl: WebglAddon | undefined;
  /** What xterm has said in this turn of the event loop: the learner's keys, or answers to what it parses. */
  #said: { text: string; bytes: Uint8Array }[] = [];
  #colours: Partial<Record<OwnColour, string>> = {};
  #opened = false;
  /** It had the focus when it was taken out of its place, in this turn of the event loop: it is being moved. */
  #hadFocus = false;
  #fontSizePx: number;
  #measureTimer: number | undefined;
  #state: TerminalState = {
    size: firstSize,
    fits: firstSize,
    active: undefined,
    note: null,
    paste: null,
    found: null,
    menu: null,
  };

  constructor(
    readonly id: string,
    private readonly connection: Connection,
    private readonly handlers: TerminalHandlers,
    fontSizePx: number,
  ) {
    this.#fontSizePx = fontSizePx;
    this.element.className = 'terminal-screen';
    this.terminal = new Terminal({
      // For Unicode versions and decorations.
      allowProposedApi: true,
      cols: firstSize.columns,
      rows: firstSize.rows,
      fontFamily,
      fontSize: fontSizePx,
      lineHeight: 1.2,
      scrollback: scrollbackLines,
      minimumContrastRatio: leastContrast,
      cursorBlink: !window.matchMedia('(prefers-reduced-motion: reduce)').matches,
      cursorInactiveStyle: 'outline',
      macOptionClickForcesSelection: true,
      overviewRuler: { width: 10 },
      linkHandler: { activate: openLink, hover: this.#hoverLink, leave: this.#leaveLink },
    });
    this.terminal.loadAddon(this.#fit);
    this.terminal.loadAddon(this.#search);
    prepareTerminal(this.terminal, new Unicode11Addon());
    this.terminal.loadAddon(new WebLinksAddon(openLink, { hover: this.#hoverLink, leave: this.#leaveLink }));
    this.#queue = new OutputQueue(
      (bytes, parsed) => {
        this.terminal.write(bytes, parsed);
      },
      (replayed) => {
        this.#afterParsing(replayed);
      },
    );
    this.#commands = new CommandTrack(
      this.terminal,
      (command, isCurrent) => {
        this.#drawMark(command, isCurrent);
      },
      (command) => {
        this.#decorations.get(command)?.dispose();
        this.#decorations.delete(command);
      },
    );
    this.terminal.attachCustomKeyEventHandler((event) => this.#isForProgram(event));
    this.terminal.parser.registerOscHandler(52, (payload) => {
      this.#onProgramCopy(payload);
      return true;
    });
    this.terminal.onData((text) => {
      this.#say(text, new TextEncoder().encode(text));
    });
    this.terminal.onBinary((text) => {
      this.#say(
        text,
        Uint8Array.from(text, (character) => character.charCodeAt(0)),
      );
    });
    this.#search.onDidChangeResults(({ resultIndex, resultCount }) => {
      this.#set({ found: { index: resultIndex, count: resultCount } });
    });
    this.element.addEventListener('paste', this.#onPaste, { capture: true });
  }

  /**
   * Waits for the font, since xterm measures it once: opened too early, every cell would have another font's width. When it does not
   * come, the next one in the list is used.
   */
  static async loadFonts(): Promise<void> {
    await Promise.allSettled(
      ['400', '700'].map((weight) => document.fonts.load(`${weight} 14px ${fontFamily}`)),
    );
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getState = (): TerminalState => this.#state;

  /** Moves the terminal into a container; the first time also opens it and asks for its screen. */
  mount(container: HTMLElement): void {
    container.append(this.element);
    if (this.#opened) this.#fitIn();
    else this.#open();
    this.#useWebgl();
    if (this.#hadFocus) this.focus();
  }

  /** Takes it out of its container; it goes on in the background. */
  unmount(container: HTMLElement): void {
    // It may be in the next one already.
    if (this.element.parentElement !== container) return;
    this.#hadFocus = this.element.contains(document.activeElement);
    setTimeout(() => {
      this.#hadFocus = false;
    });
    this.element.remove();
    this.#webgl?.dispose();
    this.#webgl = undefined;
  }

  label(labelledBy: string, describedBy: string): void {
    this.terminal.textarea?.removeAttribute('aria-label');
    this.terminal.textarea?.setAttribute('aria-labelledby', labelledBy);
    this.terminal.textarea?.setAttribute('aria-describedby', describedBy);
  }

  focus(): void {
    this.terminal.focus();
  }

  setScreenReaderMode(on: boolean): void {
    this.terminal.options.screenReaderMode = on;
  }

  setFontSize(px: number): void {
    if (px === this.#fontSizePx) return;
    this.#fontSizePx = px;
    this.#fitIn();
  }

  /** This page's place decides the size from now on. */
  useThisSize(): void {
    this.connection.viewport(this.id, this.#state.fits);
    this.connection.activate(this.id);
  }

  /** @returns what was jumped to, for those who do not see it */
  jump(direction: 'previous' | 'next'): string {
    const command = this.#commands.jump(direction);
    if (command === undefined) return 'At the prompt.';
    return `Command ${command.command}: ${spellCommand(command.state).words}.`;
  }

  /** Copies what a command has put out: by default the one that was jumped to, else the last one. */
  async copyOutput(command: TrackedCommand | undefined = this.#commands.current): Promise<void> {
    if (command === undefined) {
      this.say('There is no command whose output could be copied.');
      return;
    }
    const text = this.#commands.outputOf(command);
    if (text === '') {
      this.say('That command has put nothing out.');
      return;
    }
    await this.#copy(text, `Copied the output: ${countLines(text)}.`);
  }

  async copySelection(): Promise<void> {
    const text = this.terminal.getSelection();
    if (text !== '') await this.#copy(text, `Copied ${countLines(text)}.`);
  }

  /** Scrolls to where a command was typed. */
  reveal(command: TrackedCommand): void {
    this.terminal.scrollToLine(Math.max(0, command.prompt.line));
  }

  search(term: string, direction: 'next' | 'previous', options: ISearchOptions): void {
    if (term === '') {
      this.endSearch();
      return;
    }
    const own = (name: OwnColour): string => this.#colours[name] ?? '';
    const decorations = {
      matchBackground: own('terminal-selection'),
      matchOverviewRuler: own('ink-faint'),
      activeMatchBackground: own('terminal-selection'),
      activeMatchBorder: own('destination'),
      activeMatchColorOverviewRuler: own('destination'),
    };
    const found =
      direction === 'next'
        ? this.#search.findNext(term, { ...options, decorations })
        : this.#search.findPrevious(term, { ...options, decorations });
    if (!found) this.#set({ found: { index: -1, count: 0 } });
  }

  endSearch(): void {
    this.#search.clearDecorations();
    this.#set({ found: null });
  }

  /** Says something in the terminal's corner for a while. @param copy a text to be copied by hand, because the browser did not let us */
  say(text: string, copy?: string): void {
    this.#set({ note: { text, atMs: Date.now(), ...(copy === undefined ? {} : { copy }) } });
  }

  async copyByHand(): Promise<void> {
    const text = this.#state.note?.copy;
    if (text !== undefined) await this.#copy(text, `Copied ${countLines(text)}.`);
  }

  dismissNote(): void {
    this.#set({ note: null });
  }

  closeMenu(): void {
    if (this.#state.menu !== null) this.#set({ menu: null });
  }

  /** The learner's word on a paste that waited for it. */
  answerPaste(doPaste: boolean): void {
    const { paste } = this.#state;
    this.#set({ paste: null });
    if (doPaste && paste !== null) this.terminal.paste(withoutEscapes(paste.text));
  }

  dispose(): void {
    this.connection.detach(this.id);
    window.clearTimeout(this.#measureTimer);
    for (const dispose of this.#disposables) dispose();
    this.terminal.dispose();
    this.element.remove();
  }

  #set(change: Partial<TerminalState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }

  #open(): void {
    this.#opened = true;
    this.terminal.open(this.element);
    const applyTheme = (): void => {
      this.terminal.options.theme = readTheme(this.element);
      this.#colours = readColours(this.element, ownColours);
      for (const command of this.#commands.commands) this.#drawMark(command, false);
    };
    applyTheme();
    const dark = window.matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', applyTheme);
    const themeAttribute = new MutationObserver(applyTheme);
    themeAttribute.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    const place = new ResizeObserver(() => {
      this.#measureSoon();
    });
    place.observe(this.element);
    const onFocus = (): void => {
      this.connection.activate(this.id);
      this.handlers.onFocus();
    };
    this.terminal.textarea?.addEventListener('focus', onFocus);
    this.#disposables.push(
      () => {
        dark.removeEventListener('change', applyTheme);
      },
      () => {
        themeAttribute.disconnect();
      },
      () => {
        place.disconnect();
      },
    );
    this.#measure();
    this.terminal.resize(this.#state.fits.columns, this.#state.fits.rows);
    this.connection.attach(this.id, this.#sink(), this.#state.fits);
  }

  #sink(): TerminalSink {
    return {
      restart: (size) => {
        this.#queue.then(() => {
          this.terminal.reset();
          this.#commands.clear();
          if (size !== undefined) this.#resize(size, this.#state.active);
        });
      },
      write: (bytes, replayed, parsed) => {
        this.#queue.write(bytes, replayed, parsed);
      },
      resize: (size, active) => {
        this.#queue.then(() => {
          this.#resize(size, active ?? this.#state.active);
        });
      },
      mark: (mark: ShellMark) => {
        this.#queue.then(() => {
          this.#commands.mark(mark);
        });
      },
      commands: (commands: readonly ShownCommand[]) => {
        this.#queue.then(() => {
          this.#commands.show(commands);
        });
      },
      inUse: () => document.hasFocus() && document.activeElement === this.terminal.textarea,
    };
  }

  #useWebgl(): void {
    fastWebgl ??= hasFastWebgl();
    if (fastWebgl && this.#webgl === undefined) {
      try {
        const addon = new WebglAddon();
        // Without it xterm goes on with the DOM.
        addon.onContextLoss(() => {
          addon.dispose();
          this.#webgl = undefined;
          this.element.dataset['renderer'] = 'dom';
        });
        this.terminal.loadAddon(addon);
        this.#webgl = addon;
      } catch {
        fastWebgl = false;
      }
    }
    this.element.dataset['renderer'] = this.#webgl === undefined ? 'dom' : 'webgl';
  }

  /** Something that xterm sends: whether the learner typed it is known when this turn of the event loop ends. */
  #say(text: string, bytes: Uint8Array): void {
    this.#said.push({ text, bytes });
    if (this.#said.length > 1) return;
    queueMicrotask(() => {
      for (const said of this.#said.splice(0)) {
        const result = this.connection.input(this.id, said.bytes);
        if (result !== 'taken' && !isReport(said.text)) this.handlers.onRefused(result);
        if (!isReport(said.text)) this.#commands.leave();
      }
    });
  }

  /**
   * xterm parses a piece at a stretch, so all that it said since the last piece, in the same turn, answers queries in this one.
   * To a replay's there is nothing to be answered; to others one page answers, and that is the active one.
   */
  #afterParsing(replayed: boolean): void {
    const answers = this.#said.splice(0);
    if (replayed || this.#state.active === false) return;
    for (const { bytes } of answers) this.connection.input(this.id, bytes);
  }

  #isForProgram(event: KeyboardEvent): boolean {
    return shortcutOf(event) === undefined;
  }

  readonly #onPaste = (event: ClipboardEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    const text = event.clipboardData?.getData('text/plain') ?? '';
    if (text === '') return;
    const lines = linesEntered(text, this.terminal.modes.bracketedPasteMode);
    if (lines > 0) this.#set({ paste: { text, lines } });
    else this.terminal.paste(withoutEscapes(text));
  };

  #onProgramCopy(payload: string): void {
    // Of a text that was copied before nobody wants to have it again, and of one page's program only that page.
    if (this.#queue.replaying || this.#state.active === false || this.connection.role === 'viewer') return;
    const copy = readProgramCopy(payload);
    if (copy === null) return;
    if ('tooLongBytes' in copy) {
      this.say(`The program wanted to copy ${Math.ceil(copy.tooLongBytes / 1024)} KiB. That is too much.`);
      return;
    }
    void this.#copyForProgram(copy.text);
  }

  async #copyForProgram(text: string): Promise<void> {
    const what = countLines(text);
    try {
      // Without the way for old browsers, which takes the focus for a moment: the learner has not asked for this.
      await navigator.clipboard.writeText(text);
      this.say(`The program has copied ${what} to your clipboard.`);
    } catch {
      this.say(`The program wants to copy ${what} to your clipboard.`, text);
    }
  }

  async #copy(text: string, said: string): Promise<void> {
    if (await copyText(text)) this.say(said);
    else this.say('The browser does not let this page copy by itself.', text);
  }

  #drawMark(command: TrackedCommand, isCurrent: boolean): void {
    this.#decorations.get(command)?.dispose();
    const { kind, words } = spellCommand(command.state);
    const decoration = this.terminal.registerDecoration({
      marker: command.prompt,
      overviewRulerOptions: {
        color: (kind === 'failed' ? this.#colours.alarm : this.#colours['ink-faint']) ?? '',
        position: 'full',
      },
    });
    if (decoration === undefined) return;
    this.#decorations.set(command, decoration);
    decoration.onRender((element) => {
      if (element.dataset['mark'] === kind) return;
      element.dataset['mark'] = kind;
      element.dataset['current'] = String(isCurrent);
      element.classList.add('command-mark');
      element.title = `Command ${command.command}: ${words}`;
      element.addEventListener('click', () => {
        this.#set({ menu: { command, at: element.getBoundingClientRect() } });
      });
    });
  }

  #measureSoon(): void {
    window.clearTimeout(this.#measureTimer);
    this.#measureTimer = window.setTimeout(() => {
      requestAnimationFrame(() => {
        this.#fitIn();
      });
    }, resizeSettleMs);
  }

  /** Finds out what fits, tells it, and shows the terminal as large as it is. */
  #fitIn(): void {
    const before = this.#state.fits;
    this.#measure();
    if (!sameSize(before, this.#state.fits)) this.connection.viewport(this.id, this.#state.fits);
    this.#resize(this.#state.size, this.#state.active);
  }

  #measure(): void {
    if (this.element.clientWidth === 0 || this.element.clientHeight === 0) return;
    const shownPx = this.terminal.options.fontSize ?? this.#fontSizePx;
    const proposed = this.#fit.proposeDimensions();
    if (proposed === undefined || Number.isNaN(proposed.cols) || Number.isNaN(proposed.rows)) return;
    // Of a terminal that is shrunk the text is smaller than the learner wants it.
    const scale = shownPx / this.#fontSizePx;
    const fits = {
      columns: Math.min(1000, Math.max(2, Math.floor(proposed.cols * scale))),
      rows: Math.min(1000, Math.max(2, Math.floor(proposed.rows * scale))),
    };
    if (!sameSize(fits, this.#state.fits)) this.#set({ fits });
  }

  #resize(size: TerminalSize, active: boolean | undefined): void {
    const { fits } = this.#state;
    // A larger page's terminal is shown whole, in smaller letters.
    const scale = active === false ? Math.min(1, fits.columns / size.columns, fits.rows / size.rows) : 1;
    this.element.dataset['sized'] = active === false && !sameSize(size, fits) ? 'elsewhere' : 'here';
    if (this.terminal.cols !== size.columns || this.terminal.rows !== size.rows)
      this.terminal.resize(size.columns, size.rows);
    if (scale < 1) this.#shrink(size, scale);
    else if (this.terminal.options.fontSize !== this.#fontSizePx) {
      this.terminal.options.fontSize = this.#fontSizePx;
      // What was measured in smaller letters is not exact.
      this.#measureSoon();
    }
    if (!sameSize(size, this.#state.size) || active !== this.#state.active) this.#set({ size, active });
  }

  /** Finds the largest letters in which it fits. Cells are whole pixels, so that the scale is no more than where to begin. */
  #shrink(size: TerminalSize, scale: number): void {
    let fontSize = Math.ceil(this.#fontSizePx * scale * 2) / 2;
    for (; fontSize > leastShrunkPx; fontSize -= 0.5) {
      if (this.terminal.options.fontSize !== fontSize) this.terminal.options.fontSize = fontSize;
      const room = this.#fit.proposeDimensions();
      if (room === undefined || (room.cols >= size.columns && room.rows >= size.rows)) return;
    }
    this.terminal.options.fontSize = leastShrunkPx;
  }

  /** Links are followed with Ctrl (or Cmd): a click alone is for the program, or selects. */
  readonly #hoverLink = (): void => {
    this.element.title =
      'Ctrl-click opens it in a new tab. Addresses of the hosts are reachable only from them.';
  };

  readonly #leaveLink = (): void => {
    this.element.removeAttribute('title');
  };
}

function openLink(event: MouseEvent, address: string): void {
  if (event.ctrlKey || event.metaKey) window.open(address, '_blank', 'noopener,noreferrer');
}

function countLines(text: string): string {
  const lines = text.trimEnd().split('\n').length;
  return lines === 1 ? `${text.length} characters` : `${lines} lines`;
}
