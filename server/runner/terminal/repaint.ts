/**
 * Escape sequences that bring an empty terminal into the state of another one.
 *
 * xterm.js has an addon for this (addon-serialize). Its screens lost the background of empty lines, had stray characters where wide
 * ones had wrapped, mixed up the colours of the normal and the alternate screen, and left out scroll region, mouse encoding and the
 * cursor's style.
 *
 * This one leaves out links (OSC 8), changed palette colours, the title, and synchronized output: a program may end and never
 * finish its synchronized update. Rare states of xterm.js that no sequence restores come back as their neighbours:
 * - DECRC brought back a character set, and then another screen became the active one: that screen's saved cursor gets the set too;
 * - a wrap is pending on the alternate screen behind an ASCII character which that set replaces: the cursor stands on the character;
 * - the saved cursor's line has left the screen, and then the scrollback was erased (ED 3): the cursor was saved on the first line.
 */
import * as headless from '@xterm/headless';
import type { IBuffer, IBufferCell, IBufferLine, Terminal } from '@xterm/headless';

// A bundler finds named exports in this package, Node does not.
export const { Terminal: HeadlessTerminal } = (
  'default' in headless ? headless.default : headless
) as typeof headless;

/** xterm.js does not document that its cells have these, and the cursor's attributes as well. */
interface ExtendedAttributes {
  /** Nonzero: a selective erase spares the cell (DECSCA). */
  isProtected(): number;
  /** 1 single, 2 double, 3 curly, 4 dotted, 5 dashed; 0 none. */
  getUnderlineStyle(): number;
  hasExtendedAttrs(): number;
  extended: { underlineColor: number };
}

type Cell = IBufferCell & ExtendedAttributes;

/** What this file uses of a cell or of the cursor's attributes. */
type Attributes = Pick<
  IBufferCell,
  | 'isBold'
  | 'isDim'
  | 'isItalic'
  | 'isUnderline'
  | 'isBlink'
  | 'isInverse'
  | 'isInvisible'
  | 'isStrikethrough'
  | 'isOverline'
  | 'isFgRGB'
  | 'isFgPalette'
  | 'getFgColor'
  | 'isBgRGB'
  | 'isBgPalette'
  | 'getBgColor'
  | 'isAttributeDefault'
> &
  ExtendedAttributes;

/** A character set: what is printed in place of an ASCII character. Undefined: US ASCII, which replaces none. */
type Charset = Record<string, string> | undefined;

/** A buffer's state that xterm.js has no public interface for. */
interface CoreBuffer {
  ybase: number;
  scrollTop: number;
  scrollBottom: number;
  tabs: Record<number, boolean | undefined>;
  savedX: number;
  /** From the beginning of the buffer. */
  savedY: number;
  savedCurAttrData: Attributes;
  savedCharset: Charset;
}

/** State that xterm.js has no public interface for. The tests of repainted screens fail if it moves. */
interface Core {
  /** Parses at once. */
  writeSync(data: Uint8Array | string): void;
  /** The active one. */
  buffer: CoreBuffer;
  buffers: { normal: CoreBuffer; alt: CoreBuffer };
  coreService: {
    isCursorHidden: boolean;
    decPrivateModes: {
      cursorStyle: 'block' | 'underline' | 'bar' | undefined;
      cursorBlink: boolean | undefined;
    };
  };
  coreMouseService: { activeEncoding: string };
  /** `charset` applies. It is the one designated for `glevel`, except after DECRC. */
  _charsetService: { charset: Charset; glevel: number; _charsets: Charset[] };
  _inputHandler: {
    _curAttrData: Attributes;
    /** Nonzero right behind a printed character, which a combining character would join. */
    _parser: { precedingJoinState: number };
  };
}

export const coreOf = (terminal: Terminal): Core => (terminal as unknown as { _core: Core })._core;

const csi = '\x1b[';
/** Intermediate characters of the sequences that designate G0 to G3, and the shifts to them. */
const designations = ['(', ')', '*', '+'] as const;
const shifts = ['\x0f', '\x0e', '\x1bn', '\x1bo'] as const;
/** Columns from one tab stop to the next, in xterm.js as in a VT100. */
const tabWidth = 8;
/** Final characters of all character sets that xterm.js knows, but for `B`, US ASCII. */
const charsetFinals = '0A4C5RQKYE6ZH7=';

/** The final character that designates a set. xterm.js does not export its sets, so a terminal is asked once for each of them. */
const finalOf = (() => {
  let finals: Map<Charset, string> | undefined;
  return (charset: Charset): string => {
    if (charset === undefined) return 'B';
    if (!finals) {
      finals = new Map();
      const terminal = new HeadlessTerminal({ cols: 2, rows: 1, logLevel: 'off' });
      const core = coreOf(terminal);
      for (const final of charsetFinals) {
        core.writeSync(`\x1b(${final}`);
        finals.set(core._charsetService.charset, final);
      }
      terminal.dispose();
    }
    return finals.get(charset) ?? 'B';
  };
})();

/** @param scrollback lines above the screen to include */
export function repaint(terminal: Terminal, scrollback: number): string {
  const { normal, alternate, active } = terminal.buffer;
  const { buffers } = coreOf(terminal);
  const painter = new Painter(terminal);
  painter.lines(normal, Math.max(0, normal.baseY - scrollback));
  painter.margins(buffers.normal);
  if (active === normal) {
    if (isSaved(buffers.alt)) {
      painter.enterAlternate();
      painter.saveCursor(buffers.alt, buffers.alt.savedCharset);
      painter.put(`${csi}?47l`);
    }
  } else {
    painter.saveCursor(buffers.normal, buffers.normal.savedCharset);
    painter.moveTo(normal.cursorX, normal.cursorY);
    painter.enterAlternate();
    painter.put(`${csi}H`);
    painter.lines(alternate, 0);
    painter.margins(buffers.alt);
  }
  painter.charsets();
  painter.modes();
  painter.finish();
  return painter.text;
}

/** Whether a new terminal's saved cursor is another one. */
const isSaved = ({ savedX, savedY, ybase, savedCurAttrData, savedCharset }: CoreBuffer): boolean =>
  savedX > 0 || savedY > ybase || styleOf(savedCurAttrData) !== '' || savedCharset !== undefined;

/** Whether a character is printed as it is. A set replaces ASCII characters only. */
const isPrintedAs = (chars: string, charset: Charset): boolean => charset?.[chars] === undefined;

class Painter {
  readonly #terminal: Terminal;
  text = '';
  /** The sequence that set the terminal's present attributes. */
  #style = '';
  readonly #cell: IBufferCell;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#cell = terminal.buffer.normal.getNullCell();
  }

  put(text: string): void {
    this.text += text;
  }

  /** @param row from the top of the scroll region where origin mode is set */
  moveTo(x: number, row: number): void {
    this.put(`${csi}${row + 1};${Math.min(x, this.#terminal.cols - 1) + 1}H`);
  }

  /** Not by 1049, which would save the cursor. */
  enterAlternate(): void {
    // The alternate screen begins with the present background.
    this.#setStyle('');
    this.put(`${csi}?47h`);
  }

  /** All lines from one on. Those before the last screenful scroll away. */
  lines(buffer: IBuffer, from: number): void {
    // The alternate screen's buffer can be longer than the screen.
    const end = buffer.baseY + this.#terminal.rows;
    let wraps = false;
    for (let row = from; row < end; row++) {
      const line = buffer.getLine(row);
      const next = row + 1 < end ? buffer.getLine(row + 1) : undefined;
      const continues = next?.isWrapped === true;
      if (line) this.#line(line, wraps, continues ? next : undefined);
      if (!continues && next) {
        // A line that scrolls in gets the present background.
        this.#setStyle('');
        this.put('\r\n');
      }
      wraps = continues;
    }
  }

  /** Scroll region and tab stops of the active buffer. The cursor moves. */
  margins({ scrollTop, scrollBottom, tabs }: CoreBuffer): void {
    const { rows, cols } = this.#terminal;
    if (scrollTop !== 0 || scrollBottom !== rows - 1) {
      this.put(`${csi}${scrollTop + 1};${scrollBottom + 1}r`);
    }
    const columns = Array.from({ length: cols }, (_, column) => column);
    if (columns.every((column) => (tabs[column] === true) === (column % tabWidth === 0))) return;
    this.put(`${csi}3g`);
    for (const column of columns) if (tabs[column] === true) this.put(`${csi}${column + 1}G\x1bH`);
  }

  /** Saves the cursor as it is saved in this buffer, which is the active one. */
  saveCursor(buffer: CoreBuffer, charset: Charset): void {
    if (!isSaved(buffer) && charset === undefined) return;
    this.moveTo(buffer.savedX, Math.max(0, buffer.savedY - buffer.ybase));
    this.#setStyle(styleOf(buffer.savedCurAttrData));
    this.put(`\x1b(${finalOf(charset)}\x1b7\x1b(B`);
  }

  /** The active buffer's saved cursor and the character sets. What is printed after this is replaced by them. */
  charsets(): void {
    const { buffer, _charsetService } = coreOf(this.#terminal);
    const { charset, glevel, _charsets } = _charsetService;
    // DECRC brings back a character set without designating it. Only DECRC can do so again.
    const isRestored = charset !== _charsets[glevel];
    this.saveCursor(buffer, isRestored ? charset : buffer.savedCharset);
    for (const [level, intermediate] of designations.entries()) {
      const designated = _charsets[level];
      if (designated !== undefined) this.put(`\x1b${intermediate}${finalOf(designated)}`);
    }
    if (glevel !== 0) this.put(shifts[glevel] ?? '');
    if (isRestored) {
      this.put('\x1b8');
      this.#setStyle('', true);
    }
  }

  /** Everything else that a program may have set, except what changes how text is printed. */
  modes(): void {
    const { modes, options } = this.#terminal;
    const { coreMouseService } = coreOf(this.#terminal);
    if (options.convertEol) this.put(`${csi}20h`);
    if (modes.originMode) this.put(`${csi}?6h`);
    if (modes.applicationCursorKeysMode) this.put(`${csi}?1h`);
    if (modes.applicationKeypadMode) this.put(`${csi}?66h`);
    if (modes.bracketedPasteMode) this.put(`${csi}?2004h`);
    if (modes.reverseWraparoundMode) this.put(`${csi}?45h`);
    if (modes.sendFocusMode) this.put(`${csi}?1004h`);
    const tracking = { none: '', x10: '9', vt200: '1000', drag: '1002', any: '1003' }[
      modes.mouseTrackingMode
    ];
    if (tracking) this.put(`${csi}?${tracking}h`);
    if (coreMouseService.activeEncoding === 'SGR') this.put(`${csi}?1006h`);
    if (coreMouseService.activeEncoding === 'SGR_PIXELS') this.put(`${csi}?1016h`);
  }

  /** The cursor, and what changes how text is printed. Nothing may follow: a sequence keeps combining characters from joining. */
  finish(): void {
    const { normal, active } = this.#terminal.buffer;
    const { cols } = this.#terminal;
    const { buffer } = coreOf(this.#terminal);
    const { cursorX: x, cursorY: y } = active;
    const isOrigin = this.#terminal.modes.originMode;
    const isOutside = isOrigin && (y < buffer.scrollTop || y > buffer.scrollBottom);
    const row = isOrigin ? y - buffer.scrollTop : y;
    const joinable = isOutside ? undefined : this.#joinable();
    if (joinable) {
      this.moveTo(joinable.column, row);
      this.#look();
      // Where printing inserts, the character must make room for itself.
      if (this.#terminal.modes.insertMode) this.put(`${csi}${joinable.width}P`);
      this.put(joinable.chars);
      return;
    }
    if (active === normal && (x >= cols || isOutside)) {
      // The cursor keeps its place when the screen is switched. The alternate screen has no scroll region, and is erased.
      this.enterAlternate();
      this.moveTo(x, y);
      if (x >= cols) this.put('─');
      this.put(`${csi}?47l`);
    } else {
      this.moveTo(x, row);
      if (x >= cols) this.#printLast();
    }
    this.#look();
  }

  /** The character before the cursor, if a combining character would join it or REP repeat it. */
  #joinable(): { column: number; chars: string; width: number } | undefined {
    const { active } = this.#terminal.buffer;
    const { _inputHandler, _charsetService } = coreOf(this.#terminal);
    if (_inputHandler._parser.precedingJoinState === 0) return undefined;
    const line = active.getLine(active.baseY + active.cursorY);
    let column = active.cursorX - 1;
    if (line?.getCell(column, this.#cell)?.getWidth() === 0) column -= 1;
    const cell = column < 0 ? undefined : this.#cellAt(line, column);
    const chars = cell?.getChars();
    if (!cell || !chars || !isPrintedAs(chars, _charsetService.charset)) return undefined;
    // A wide character that found no room was not printed: the one that stands here is another one.
    if (styleOf(cell) !== styleOf(_inputHandler._curAttrData)) return undefined;
    return { column, chars, width: cell.getWidth() };
  }

  /** Prints what stands in the last column again. The cursor stands behind it then, and the next character wraps. */
  #printLast(): void {
    const { cols } = this.#terminal;
    const { active } = this.#terminal.buffer;
    const line = active.getLine(active.baseY + active.cursorY);
    const isWide = line?.getCell(cols - 1, this.#cell)?.getWidth() === 0;
    if (isWide) this.put(`${csi}D`);
    const cell = this.#cellAt(line, isWide ? cols - 2 : cols - 1);
    const chars = cell?.getChars() || ' ';
    if (!cell || !isPrintedAs(chars, coreOf(this.#terminal)._charsetService.charset)) return;
    this.#setStyle(styleOf(cell));
    this.put(chars);
  }

  /** The cell, until the next call. */
  #cellAt(line: IBufferLine | undefined, column: number): Cell | undefined {
    return line?.getCell(column, this.#cell) as Cell | undefined;
  }

  /** What changes how text is printed, and the cursor's style. */
  #look(): void {
    const { modes } = this.#terminal;
    const { coreService, _inputHandler } = coreOf(this.#terminal);
    // A sequence in any case, so that nothing joins or repeats what was printed last.
    this.#setStyle(styleOf(_inputHandler._curAttrData), true);
    if (modes.insertMode) this.put(`${csi}4h`);
    if (!modes.wraparoundMode) this.put(`${csi}?7l`);
    if (coreService.isCursorHidden) this.put(`${csi}?25l`);
    const { cursorStyle, cursorBlink } = coreService.decPrivateModes;
    if (cursorStyle !== undefined) {
      this.put(`${csi}${{ block: 2, underline: 4, bar: 6 }[cursorStyle] - (cursorBlink ? 1 : 0)} q`);
    }
  }

  /**
   * Draws a line from its first column.
   * @param isWrapped the line came by wrapping, which may have given it a background
   * @param next the line into which it must wrap
   */
  #line(line: IBufferLine, isWrapped: boolean, next: IBufferLine | undefined): void {
    const { cols } = this.#terminal;
    const startsWide = next?.getCell(0, this.#cell)?.getWidth() === 2;
    let empty = 0;
    let emptyStyle = '';
    const drawEmpty = (isLast: boolean) => {
      if (empty === 0) return;
      if (emptyStyle !== '' || isWrapped) {
        this.#setStyle(emptyStyle);
        this.put(isLast ? `${csi}K` : `${csi}${empty}X`);
      }
      if (!isLast) this.put(`${csi}${empty}C`);
      empty = 0;
    };
    for (let column = 0; column < cols; column++) {
      const cell = this.#cellAt(line, column);
      if (!cell) continue;
      let chars = cell.getChars();
      if (cell.getWidth() === 0 && chars === '') continue;
      // A line wraps if it is full and the next begins with a character. A wide character wraps one column earlier.
      const mustPrint = (next && !(startsWide && column === cols - 1)) || (isWrapped && column === 0);
      // Half of an overwritten wide character is empty and may still be drawn in reverse.
      if (chars === '' && (mustPrint || cell.isInverse())) chars = ' ';
      if (chars === '') {
        const background = backgroundOf(cell);
        const style = background === '' ? '' : `${csi}0;${background}m`;
        if (style !== emptyStyle) drawEmpty(false);
        emptyStyle = style;
        empty += 1;
        continue;
      }
      drawEmpty(false);
      // A combining character with a cell of its own must not join the character before it.
      this.#setStyle(styleOf(cell), cell.getWidth() === 0);
      this.put(chars);
    }
    drawEmpty(!next);
  }

  /** @param isForced puts the sequence out though the style is the present one */
  #setStyle(style: string, isForced = false): void {
    if (style === this.#style && !isForced) return;
    this.#style = style;
    this.put(style === '' ? `${csi}m` : style);
  }
}

const flags = [
  ['isBold', 1],
  ['isDim', 2],
  ['isItalic', 3],
  ['isBlink', 5],
  ['isInverse', 7],
  ['isInvisible', 8],
  ['isStrikethrough', 9],
  ['isOverline', 53],
] as const satisfies readonly (readonly [keyof Attributes, number])[];

/** The sequences that set these attributes, whatever was set before; empty for none. */
function styleOf(cell: Attributes): string {
  if (cell.isAttributeDefault()) return '';
  const parameters: (number | string)[] = flags.flatMap(([flag, parameter]) =>
    cell[flag]() ? [parameter] : [],
  );
  // xterm.js leaves the style of a plain underline open.
  if (cell.isUnderline()) parameters.push(`4:${cell.getUnderlineStyle() || 1}`);
  if (cell.isFgRGB()) parameters.push(`38;2;${rgb(cell.getFgColor())}`);
  else if (cell.isFgPalette()) parameters.push(palette(cell.getFgColor(), 30, 90, 38));
  const background = backgroundOf(cell);
  if (background !== '') parameters.push(background);
  if (cell.hasExtendedAttrs()) {
    const { underlineColor } = cell.extended;
    const mode = (underlineColor >>> 24) & 3;
    if (mode === 3) parameters.push(`58;2;${rgb(underlineColor)}`);
    else if (mode !== 0) parameters.push(`58;5;${underlineColor & 0xff}`);
  }
  return `${csi}${['0', ...parameters].join(';')}m${cell.isProtected() ? `${csi}1"q` : ''}`;
}

/** Parameters of SGR for the background. An empty cell has no other attributes. */
function backgroundOf(cell: Attributes): string {
  if (cell.isBgRGB()) return `48;2;${rgb(cell.getBgColor())}`;
  if (cell.isBgPalette()) return palette(cell.getBgColor(), 40, 100, 48);
  return '';
}

const rgb = (color: number): string => `${(color >>> 16) & 0xff};${(color >>> 8) & 0xff};${color & 0xff}`;

const palette = (color: number, dark: number, bright: number, other: number): string =>
  color < 8 ? `${dark + color}` : color < 16 ? `${bright + color - 8}` : `${other};5;${color}`;
