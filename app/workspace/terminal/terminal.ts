/**
 * One terminal in the browser: xterm, its own DOM element, and its wiring to the connection.
 *
 * It lives outside the components, so a new layout, such as a turned phone, does not lose the screen. The server decides its size; the
 * page only reports what fits.
 */
import { SearchAddon, type ISearchOptions } from '@xterm/addon-search';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { Terminal } from '@xterm/xterm';
import type { ShellMark, ShownCommand } from '../../../server/protocol/terminal';
import { prepareTerminal } from '../../../server/protocol/xterm';
import type { Connection, InputResult } from '../../../server/client/connection';
import type { TerminalSink, TerminalSize } from '../../../server/client/terminal-stream';
import { copyText } from '../../ui/copy-text';
import { leastContrast, readColours, readTheme } from '../../ui/terminal-theme';
import { shortcutOf } from '../panes/shortcuts';
import { linesEntered, readProgramCopy, withoutEscapes } from './clipboard';
import { CommandMarks } from './command-marks';
import { CommandTrack, type TrackedCommand } from './command-track';
import { spellCommand } from './command-words';
import { OutputQueue } from './output-queue';
import { sameSize, Sizing } from './sizing';
import { WebglRenderer } from './webgl';

const fontFamily = '"JetBrains Mono Variable", ui-monospace, monospace';

/** Lines of scrollback. The server repaints the newest of them (screen.ts). */
const scrollbackLines = 10_000;

/** Dragging a splitter causes dozens of sizes a second, and each one that is sent makes a shell redraw its line. */
const resizeSettleMs = 50;

/** The page's colours for marks and highlights in the terminal. */
const ownColours = ['ink-faint', 'alarm', 'destination', 'terminal-selection'] as const;
type OwnColour = (typeof ownColours)[number];

/** The size before the server's first message: a terminal's traditional size. */
const firstSize: TerminalSize = { columns: 80, rows: 24 };

/** A terminal's state that components show beside its screen. */
export interface TerminalState {
  size: TerminalSize;
  /** The size that fits into its area on the page. */
  fits: TerminalSize;
  /** Whether this page decides the size; undefined before the server's first message. */
  active: boolean | undefined;
  /** A short-lived note. `atMs` distinguishes it from an earlier note with the same text. */
  note: { text: string; copy?: string; atMs: number } | null;
  /** A paste that would run lines at once and waits for confirmation. */
  paste: { text: string; lines: number } | null;
  found: { index: number; count: number } | null;
  /** A click on the mark beside a command. */
  menu: { command: TrackedCommand; at: DOMRect } | null;
}

export interface TerminalHandlers {
  /** The connection refused typed input. */
  onRefused: (why: Exclude<InputResult, 'taken'>) => void;
  /** The learner's keys go to this terminal from now on. */
  onFocus: () => void;
}

/** Mouse and focus reports: the program asked for them, and the learner did not type them. */
const isReport = (text: string): boolean => /^\x1b\[(I|O|M|<)/.test(text);

export class HostTerminal {
  readonly element = document.createElement('div');
  /** Exposed to tests and debugging as `window.labTerminals`. */
  readonly terminal: Terminal;
  readonly #connection: Connection;
  readonly #handlers: TerminalHandlers;
  readonly #search = new SearchAddon();
  readonly #queue: OutputQueue;
  readonly #commands: CommandTrack;
  readonly #marks: CommandMarks;
  readonly #sizing: Sizing;
  readonly #renderer: WebglRenderer;
  readonly #listeners = new Set<() => void>();
  readonly #disposables: (() => void)[] = [];
  /** Data from xterm in this turn of the event loop: the learner's keys, or answers to queries. */
  #unsent: { text: string; bytes: Uint8Array }[] = [];
  #colours: Partial<Record<OwnColour, string>> = {};
  #opened = false;
  /** It had the focus when it left its container in this turn of the event loop, so it is being moved. */
  #hadFocus = false;
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
    connection: Connection,
    handlers: TerminalHandlers,
    fontSizePx: number,
  ) {
    this.#connection = connection;
    this.#handlers = handlers;
    this.element.className = 'terminal-screen';
    this.terminal = new Terminal({
      // Needed for Unicode versions and decorations.
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
    this.#sizing = new Sizing(this.terminal, this.element, fontSizePx);
    this.#renderer = new WebglRenderer(this.terminal, this.element);
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
    this.#marks = new CommandMarks(
      this.terminal,
      () => ({ usual: this.#colours['ink-faint'], failed: this.#colours.alarm }),
      (command, at) => {
        this.#set({ menu: { command, at } });
      },
    );
    this.#commands = new CommandTrack(
      this.terminal,
      (command, isCurrent) => {
        this.#marks.draw(command, isCurrent);
      },
      (command) => {
        this.#marks.remove(command);
      },
    );
    this.terminal.attachCustomKeyEventHandler((event) => this.#isForProgram(event));
    this.terminal.parser.registerOscHandler(52, (payload) => {
      this.#onProgramCopy(payload);
      return true;
    });
    this.terminal.onData((text) => {
      this.#sendSoon(text, new TextEncoder().encode(text));
    });
    this.terminal.onBinary((text) => {
      this.#sendSoon(
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
   * Waits for the font, because xterm measures it once: opened too early, every cell would have another font's width. If the font does
   * not load, xterm uses the next one in the list.
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

  /** Moves the terminal into a container. The first time, also opens it and requests its screen. */
  mount(container: HTMLElement): void {
    container.append(this.element);
    if (this.#opened) this.#fitIn();
    else this.#open();
    this.#renderer.start();
    if (this.#hadFocus) this.focus();
  }

  /** Removes it from its container. It keeps receiving output. */
  unmount(container: HTMLElement): void {
    // It may already be in its next container.
    if (this.element.parentElement !== container) return;
    this.#hadFocus = this.element.contains(document.activeElement);
    setTimeout(() => {
      this.#hadFocus = false;
    });
    this.element.remove();
    this.#renderer.stop();
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
    if (this.#sizing.setFontSize(px)) this.#fitIn();
  }

  /** Makes this page decide the size. */
  useThisSize(): void {
    this.#connection.viewport(this.id, this.#state.fits);
    this.#connection.activate(this.id);
  }

  /** @returns the command, in words for a screen reader */
  jump(direction: 'previous' | 'next'): string {
    const command = this.#commands.jump(direction);
    if (command === undefined) return 'At the prompt.';
    return `Command ${command.command}: ${spellCommand(command.state).words}.`;
  }

  /** Copies a command's output. The default is the command that the learner jumped to, or the last one. */
  async copyOutput(command: TrackedCommand | undefined = this.#commands.current): Promise<void> {
    if (command === undefined) {
      this.showNote('Nothing to copy: there is no command yet.');
      return;
    }
    const text = this.#commands.outputOf(command);
    if (text === '') {
      this.showNote('Nothing to copy: the command has no output.');
      return;
    }
    await this.#copy(text, `Copied the output: ${countLines(text)}.`);
  }

  async copySelection(): Promise<void> {
    const text = this.terminal.getSelection();
    if (text !== '') await this.#copy(text, `Copied ${countLines(text)}.`);
  }

  /** Scrolls to a command's prompt. */
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

  /**
   * Shows a note in the terminal's corner for a while.
   * @param copy a text for the learner to copy by hand, because the browser did not allow it
   */
  showNote(text: string, copy?: string): void {
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

  /** Applies the learner's answer about a waiting paste. */
  answerPaste(doPaste: boolean): void {
    const { paste } = this.#state;
    this.#set({ paste: null });
    if (doPaste && paste !== null) this.terminal.paste(withoutEscapes(paste.text));
  }

  dispose(): void {
    this.#connection.detach(this.id);
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
      for (const command of this.#commands.commands) this.#marks.draw(command, false);
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
      this.#connection.activate(this.id);
      this.#handlers.onFocus();
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
    this.#connection.attach(this.id, this.#sink(), this.#state.fits);
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

  /** Queues data from xterm. Only at the end of this turn of the event loop is it known whether the learner typed it. */
  #sendSoon(text: string, bytes: Uint8Array): void {
    this.#unsent.push({ text, bytes });
    if (this.#unsent.length > 1) return;
    queueMicrotask(() => {
      for (const input of this.#unsent.splice(0)) {
        const result = this.#connection.input(this.id, input.bytes);
        if (result !== 'taken' && !isReport(input.text)) this.#handlers.onRefused(result);
        if (!isReport(input.text)) this.#commands.leave();
      }
    });
  }

  /**
   * xterm parses a piece in one go. So all data that it has sent in this turn since the last piece answers queries in this piece. No
   * page answers a replay's queries; the active page answers the others.
   */
  #afterParsing(replayed: boolean): void {
    const answers = this.#unsent.splice(0);
    if (replayed || this.#state.active === false) return;
    for (const { bytes } of answers) this.#connection.input(this.id, bytes);
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
    // A replay must not overwrite the clipboard, and a copy is only for the active page.
    if (this.#queue.replaying || this.#state.active === false || this.#connection.role === 'viewer') return;
    const copy = readProgramCopy(payload);
    if (copy === null) return;
    if ('tooLongBytes' in copy) {
      this.showNote(
        `Not copied: a program tried to copy ${Math.ceil(copy.tooLongBytes / 1024)} KiB to your clipboard. The limit is 100 KiB.`,
      );
      return;
    }
    void this.#copyForProgram(copy.text);
  }

  async #copyForProgram(text: string): Promise<void> {
    const what = countLines(text);
    try {
      // Not copyText, whose fallback for plain HTTP takes the focus for a moment: the learner did not request this copy.
      await navigator.clipboard.writeText(text);
      this.showNote(`A program copied ${what} to your clipboard.`);
    } catch {
      this.showNote(`A program wants to copy ${what} to your clipboard.`, text);
    }
  }

  async #copy(text: string, said: string): Promise<void> {
    if (await copyText(text)) this.showNote(said);
    else this.showNote('The browser did not allow the copy.', text);
  }

  #measureSoon(): void {
    window.clearTimeout(this.#measureTimer);
    this.#measureTimer = window.setTimeout(() => {
      requestAnimationFrame(() => {
        this.#fitIn();
      });
    }, resizeSettleMs);
  }

  /** Measures and reports what fits, and applies the terminal's real size. */
  #fitIn(): void {
    const before = this.#state.fits;
    this.#measure();
    if (!sameSize(before, this.#state.fits)) this.#connection.viewport(this.id, this.#state.fits);
    this.#resize(this.#state.size, this.#state.active);
  }

  #measure(): void {
    const fits = this.#sizing.measure();
    if (fits !== undefined && !sameSize(fits, this.#state.fits)) this.#set({ fits });
  }

  #resize(size: TerminalSize, active: boolean | undefined): void {
    const { fits } = this.#state;
    const isOthers = active === false;
    this.element.dataset['sized'] = isOthers && !sameSize(size, fits) ? 'elsewhere' : 'here';
    if (!this.#sizing.resize(size, fits, isOthers)) this.#measureSoon();
    if (!sameSize(size, this.#state.size) || active !== this.#state.active) this.#set({ size, active });
  }

  /** Ctrl-click (or Cmd-click) follows links, because a plain click goes to the program or selects. */
  readonly #hoverLink = (): void => {
    this.element.title =
      'Ctrl-click opens this link in a new tab. The hosts’ own addresses work only on the hosts.';
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
