/**
 * Escape sequences that bring an empty terminal into the state of another one.
 *
 * xterm.js has an addon for this (addon-serialize). Its screens lost the background of empty lines, had stray characters where wide
 * ones had wrapped, mixed up the colours of the normal and the alternate screen, and left out scroll region, mouse encoding and the
 * cursor's style. This one does not keep links (OSC 8), a saved cursor, changed tab stops, or changed palette colours either.
 */
import type { IBuffer, IBufferCell, IBufferLine, Terminal } from '@xterm/headless';

/** What this file uses of a cell or of the cursor's attributes. xterm.js does not document the last three. */
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
>;

/** State that xterm.js has no public interface for. The tests of repainted screens fail if it moves. */
interface Core {
  /** Parses at once. */
  writeSync(data: Uint8Array): void;
  buffer: { scrollTop: number; scrollBottom: number };
  coreService: {
    isCursorHidden: boolean;
    decPrivateModes: {
      cursorStyle: 'block' | 'underline' | 'bar' | undefined;
      cursorBlink: boolean | undefined;
    };
  };
  coreMouseService: { activeEncoding: string };
  _charsetService: { glevel: number; _charsets: (Record<string, string> | undefined)[] };
  _inputHandler: { _curAttrData: Attributes };
}

export const coreOf = (terminal: Terminal): Core => (terminal as unknown as { _core: Core })._core;

const csi = '\x1b[';

/** @param scrollback lines above the screen to include */
export function repaint(terminal: Terminal, scrollback: number): string {
  const { normal, alternate, active } = terminal.buffer;
  const painter = new Painter(terminal);
  painter.lines(normal, Math.max(0, normal.baseY - scrollback));
  if (active === normal) {
    painter.modes();
    painter.cursor(normal);
  } else {
    painter.cursor(normal);
    // 1049 saves the present cursor for the return.
    painter.plain();
    painter.put(`${csi}?1049h${csi}H`);
    painter.lines(alternate, 0);
    painter.modes();
    painter.cursor(alternate);
  }
  painter.look();
  return painter.text;
}

class Painter {
  text = '';
  readonly #terminal: Terminal;
  /** The terminal's present attributes, as parameters of SGR. */
  #style = '';
  readonly #cell: IBufferCell;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#cell = terminal.buffer.normal.getNullCell();
  }

  put(text: string): void {
    this.text += text;
  }

  plain(): void {
    this.#setStyle('');
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
        this.plain();
        this.put('\r\n');
      }
      wraps = continues;
    }
  }

  /** Everything that a program may have set, except what changes how text is printed. */
  modes(): void {
    const { modes, rows } = this.#terminal;
    const { buffer, coreMouseService } = coreOf(this.#terminal);
    if (buffer.scrollTop !== 0 || buffer.scrollBottom !== rows - 1) {
      this.put(`${csi}${buffer.scrollTop + 1};${buffer.scrollBottom + 1}r`);
    }
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

  cursor(buffer: IBuffer): void {
    const { cols } = this.#terminal;
    const { cursorX, cursorY } = buffer;
    const isActive = buffer === this.#terminal.buffer.active;
    const origin = isActive && this.#terminal.modes.originMode ? coreOf(this.#terminal).buffer.scrollTop : 0;
    const row = cursorY - origin + 1;
    if (cursorX < cols) {
      this.put(`${csi}${row};${cursorX + 1}H`);
      return;
    }
    // After a character in the last column the cursor stands behind it, and the next character wraps.
    const line = buffer.getLine(buffer.baseY + cursorY);
    const isWide = line?.getCell(cols - 1, this.#cell)?.getWidth() === 0;
    const column = isWide ? cols - 2 : cols - 1;
    this.put(`${csi}${row};${column + 1}H`);
    const cell = line?.getCell(column, this.#cell);
    if (!cell) return;
    this.#setStyle(styleOf(cell));
    this.put(cell.getChars() || ' ');
  }

  /** What changes how text is printed, and the cursor's style. */
  look(): void {
    const { modes } = this.#terminal;
    const { coreService, _charsetService: charsets, _inputHandler } = coreOf(this.#terminal);
    this.#setStyle(styleOf(_inputHandler._curAttrData));
    if (modes.insertMode) this.put(`${csi}4h`);
    if (!modes.wraparoundMode) this.put(`${csi}?7l`);
    if (coreService.isCursorHidden) this.put(`${csi}?25l`);
    const { cursorStyle, cursorBlink } = coreService.decPrivateModes;
    if (cursorStyle !== undefined) {
      this.put(`${csi}${{ block: 2, underline: 4, bar: 6 }[cursorStyle] - (cursorBlink ? 1 : 0)} q`);
    }
    const isLineDrawing = (set: number) => charsets._charsets[set]?.q === '─';
    if (isLineDrawing(0)) this.put('\x1b(0');
    if (isLineDrawing(1)) this.put('\x1b)0');
    if (charsets.glevel === 1) this.put('\x0e');
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
      const cell = line.getCell(column, this.#cell);
      if (!cell) continue;
      let chars = cell.getChars();
      if (cell.getWidth() === 0 && chars === '') continue;
      // A line wraps if it is full and the next begins with a character. A wide character wraps one column earlier.
      const mustPrint = (next && !(startsWide && column === cols - 1)) || (isWrapped && column === 0);
      // Half of an overwritten wide character is empty and may still be drawn in reverse.
      if (chars === '' && (mustPrint || cell.isInverse())) chars = ' ';
      if (chars === '') {
        const style = backgroundOf(cell);
        if (style !== emptyStyle) drawEmpty(false);
        emptyStyle = style;
        empty += 1;
        continue;
      }
      drawEmpty(false);
      this.#setStyle(styleOf(cell));
      this.put(chars);
    }
    drawEmpty(!next);
  }

  #setStyle(style: string): void {
    if (style === this.#style) return;
    this.#style = style;
    this.put(style === '' ? `${csi}m` : `${csi}0;${style}m`);
  }
}

const flags: readonly [keyof Attributes, number][] = [
  ['isBold', 1],
  ['isDim', 2],
  ['isItalic', 3],
  ['isUnderline', 4],
  ['isBlink', 5],
  ['isInverse', 7],
  ['isInvisible', 8],
  ['isStrikethrough', 9],
  ['isOverline', 53],
];

/** Parameters of SGR after a reset; empty for none. */
function styleOf(cell: Attributes): string {
  if (cell.isAttributeDefault()) return '';
  const parameters: (number | string)[] = flags.flatMap(([flag, parameter]) =>
    cell[flag]() ? [parameter] : [],
  );
  if (cell.isFgRGB()) parameters.push(`38;2;${rgb(cell.getFgColor())}`);
  else if (cell.isFgPalette()) parameters.push(palette(cell.getFgColor(), 30, 90, 38));
  const background = backgroundOf(cell);
  if (background !== '') parameters.push(background);
  return parameters.join(';');
}

/** An empty cell has no other attributes. */
function backgroundOf(cell: Attributes): string {
  if (cell.isBgRGB()) return `48;2;${rgb(cell.getBgColor())}`;
  if (cell.isBgPalette()) return palette(cell.getBgColor(), 40, 100, 48);
  return '';
}

const rgb = (color: number): string => `${(color >>> 16) & 0xff};${(color >>> 8) & 0xff};${color & 0xff}`;

const palette = (color: number, dark: number, bright: number, other: number): string =>
  color < 8 ? `${dark + color}` : color < 16 ? `${bright + color - 8}` : `${other};5;${color}`;
