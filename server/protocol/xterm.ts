/**
 * Prepares every xterm.js here, in the runner and on the page. Both must use the same character widths, or a repainted screen differs.
 * And no program's output may crash xterm.js or make it grow without limit.
 */

/** The part of xterm.js that this file uses. */
interface Terminal {
  readonly cols: number;
  readonly rows: number;
  readonly unicode: Unicode;
  readonly buffer: {
    readonly active: { readonly cursorX: number; readonly cursorY: number; readonly length: number };
  };
  readonly parser: {
    registerCsiHandler(
      id: { prefix?: string; final: string },
      callback: (parameters: (number | number[])[]) => boolean,
    ): unknown;
  };
}

/** Private to xterm.js 6.0. */
interface Internals {
  _core: {
    _inputHandler: { eraseInDisplay(parameters: { params: number[] }, respectProtect: boolean): boolean };
  };
}

interface Unicode {
  register(provider: WidthProvider): void;
  activeVersion: string;
}

interface WidthProvider {
  readonly version: string;
  wcwidth(codepoint: number): 0 | 1 | 2;
  /** Bit 0: joins the preceding character. Bits 1 and 2: width. The provider gets its other bits back. */
  charProperties(codepoint: number, preceding: number): number;
}

/**
 * Limit on combining characters in one cell. xterm.js has none, so a program could fill all memory with one cell. No script puts more
 * than a few on a letter.
 */
const maxJoins = 16;

/**
 * Prepares a new terminal.
 * @param unicode11 xterm.js's own addon for the widths of Unicode 11 (`Unicode11Addon`)
 */
export function prepareTerminal(terminal: Terminal, unicode11: { activate(terminal: never): void }): void {
  const limiting = {
    unicode: {
      register: (provider: WidthProvider) => {
        terminal.unicode.register(limitJoins(provider));
      },
    },
  };
  unicode11.activate(limiting as never);
  terminal.unicode.activeVersion = '11';
  eraseSafely(terminal, false);
  eraseSafely(terminal, true);
}

/**
 * Works around a bug of xterm.js 6.0. When the cursor is on the last cell of a terminal without scrollback, erasing up to it (ED 1)
 * looks for the line below and throws, and the terminal shows nothing from then on. ED 2 has the same effect there without the bug.
 */
function eraseSafely(terminal: Terminal, isSelective: boolean): void {
  terminal.parser.registerCsiHandler(
    { ...(isSelective ? { prefix: '?' } : {}), final: 'J' },
    ([parameter]) => {
      const { cursorX, cursorY, length } = terminal.buffer.active;
      const isLastCell = cursorX + 1 >= terminal.cols && cursorY + 1 >= length;
      if (parameter !== 1 || !isLastCell) return false;
      const { _inputHandler } = (terminal as unknown as Internals)._core;
      return _inputHandler.eraseInDisplay({ params: [2] }, isSelective);
    },
  );
}

function limitJoins(provider: WidthProvider): WidthProvider {
  return {
    version: provider.version,
    wcwidth: (codepoint) => provider.wcwidth(codepoint),
    charProperties: (codepoint, preceding) => {
      const properties = provider.charProperties(codepoint, preceding);
      if ((properties & 1) === 0) return properties;
      const joins = (preceding >> 3) + 1;
      const oneCell = 1 << 1;
      return joins > maxJoins ? oneCell : properties | (joins << 3);
    },
  };
}
