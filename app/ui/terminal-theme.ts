/** Colours of terminals. They are defined only in the stylesheet (`--terminal-…`), so they follow the page's theme. */
import type { ITheme } from '@xterm/xterm';

/** The contrast ratio that WCAG 2.2 requires for text of this size. Programs also set backgrounds, so xterm enforces it for each cell. */
export const leastContrast = 4.5;

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

/** Reads colours as the browser computes them for an element, as `#rrggbb`, which every part of xterm can parse. */
export function readColours(element: HTMLElement, names: readonly string[]): Record<string, string> {
  const probe = document.createElement('span');
  element.append(probe);
  const colours = names.map((name) => {
    probe.style.color = `var(--${name})`;
    const channels = getComputedStyle(probe).color.match(/\d+/g)?.slice(0, 3) ?? [];
    return [name, `#${channels.map((channel) => Number(channel).toString(16).padStart(2, '0')).join('')}`];
  });
  probe.remove();
  return Object.fromEntries(colours) as Record<string, string>;
}

export function readTheme(element: HTMLElement): ITheme {
  const property = (name: string): string =>
    `terminal-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const baseNames = ['background', 'foreground', 'cursor', 'selection', 'scrollbar'];
  const colours = readColours(element, [...baseNames, ...ansiNames].map(property));
  const colour = (name: string): string => colours[property(name)] ?? '';
  const theme: ITheme = {
    background: colour('background'),
    foreground: colour('foreground'),
    cursor: colour('cursor'),
    cursorAccent: colour('background'),
    selectionBackground: colour('selection'),
    scrollbarSliderBackground: colour('scrollbar'),
    scrollbarSliderHoverBackground: colour('scrollbar'),
    scrollbarSliderActiveBackground: colour('scrollbar'),
    overviewRulerBorder: colour('background'),
  };
  for (const name of ansiNames) theme[name] = colour(name);
  return theme;
}
