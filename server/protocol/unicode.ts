/** How wide characters are: the same in the runner's terminals and in the page's, or a repainted screen is not the same one. */

/** What is used here of xterm.js's handling of Unicode (`terminal.unicode`). */
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
 * Makes a terminal know the widths of Unicode 11, with a limit to what one cell holds.
 * @param addon xterm.js's own addon for these widths (`Unicode11Addon`)
 */
export function loadUnicode11(
  terminal: { readonly unicode: Unicode },
  addon: { activate(terminal: never): void },
): void {
  const limiting = {
    unicode: {
      register: (provider: WidthProvider) => {
        terminal.unicode.register(limitJoins(provider));
      },
    },
  };
  addon.activate(limiting as never);
  terminal.unicode.activeVersion = '11';
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
