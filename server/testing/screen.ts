/** For tests: renders a terminal's content as text, so two terminals can be compared. */
import * as headless from '@xterm/headless';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import type { IBufferCell, Terminal } from '@xterm/headless';
import { prepareTerminal } from '../protocol/xterm';

const { Terminal: HeadlessTerminal } = (
  'default' in headless ? headless.default : headless
) as typeof headless;

/** A terminal configured like the page's. */
export function pageTerminal(columns: number, rows: number, scrollback = 10_000): Terminal {
  const terminal = new HeadlessTerminal({
    cols: columns,
    rows,
    scrollback,
    allowProposedApi: true,
    logLevel: 'off',
  });
  prepareTerminal(terminal, new Unicode11Addon());
  return terminal;
}

export function write(terminal: Terminal, data: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => {
    terminal.write(data, resolve);
  });
}

/**
 * Renders everything visible of a terminal, and all state that affects its further output: one line of text per terminal line, then
 * the state as JSON.
 * @param lastLines number of scrollback lines to include; all by default
 */
export function show(terminal: Terminal, lastLines = Infinity): string[] {
  const { active, normal } = terminal.buffer;
  const core = (
    terminal as unknown as {
      _core: {
        buffer: { scrollTop: number; scrollBottom: number };
        coreService: { isCursorHidden: boolean };
        coreMouseService: { activeEncoding: string };
      };
    }
  )._core;
  const lines: string[] = [];
  for (const buffer of active === normal ? [normal] : [normal, active]) {
    for (let row = Math.max(0, buffer.baseY - lastLines); row < buffer.baseY + terminal.rows; row++) {
      const line = buffer.getLine(row);
      // For the first line kept it is unknown whether wrapping created it.
      let text = line?.isWrapped && row > 0 ? '…' : '';
      let drawn = '0,0,0,0,0,0,0,0,-1';
      let filled = '-1,0';
      for (let column = 0; column < terminal.cols; column++) {
        const cell = line?.getCell(column);
        if (!cell || cell.getWidth() === 0) continue;
        const flags = [cell.isBold(), cell.isItalic(), cell.isDim(), underlineOf(cell)];
        flags.push(cell.isBlink(), cell.isInvisible(), cell.isStrikethrough(), cell.isOverline());
        // A blank shows only its background.
        const draw = cell.getChars().trim() === '' ? drawn : [...flags, cell.getFgColor()].map(Number).join();
        const fill = [cell.getBgColor(), cell.isInverse()].map(Number).join();
        if (draw !== drawn) text += `{${draw}}`;
        if (fill !== filled) text += `[${fill}]`;
        drawn = draw;
        filled = fill;
        text += cell.getChars() || ' ';
      }
      lines.push(text.replace(/ +$/, ''));
    }
  }
  const { scrollTop, scrollBottom } = core.buffer;
  lines.push(
    JSON.stringify({
      active: active.type,
      x: active.cursorX,
      y: active.cursorY,
      region: [scrollTop, scrollBottom],
      isHidden: core.coreService.isCursorHidden,
      mouse: core.coreMouseService.activeEncoding,
      modes: terminal.modes,
    }),
  );
  return lines;
}

/** Number of the underline's style; 0 for none. xterm.js does not document how to ask for it. */
const underlineOf = (cell: IBufferCell): number =>
  (cell as unknown as { getUnderlineStyle(): number }).getUnderlineStyle();
