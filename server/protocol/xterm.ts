/**
 * What each xterm.js needs here, the runner's as well as the page's: the same widths of characters, or a repainted screen is not
 * the same one; and no output of any program that makes it fail or grow without end.
 */

/** What is used here of xterm.js. */
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
  /** Bit 0: joins the character before it; bits 1 and 2: width; the rest is the provider's own and is handed back to it. */
  charProperties(codepoint: number, preceding: number): number;
}

/**
 * Combining characters that one cell holds. xterm.js has no limit, so that a program could fill all memory with one cell. No
 * script puts more than a few on a letter.
 */
const maxJoins = 16;

/**
 * Prepares a terminal that has just been made.
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
 * Erasing up to the cursor (ED 1), when that is the last cell of a terminal without scrollback, throws in xterm.js 6.0, and
 * the terminal never shows anything again: it looks for the line below. All lines are erased then, which ED 2 does as well.
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
