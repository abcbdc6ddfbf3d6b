import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { leastContrast } from './terminal-theme';

/** Reads every `--name: light-dark(#light, #dark)` of the stylesheet, and resolves `var(--other)`. */
function palette(theme: 'light' | 'dark'): Map<string, string> {
  const css = readFileSync(new URL('../styles/tokens.css', import.meta.url), 'utf8');
  const colours = new Map<string, string>();
  for (const [, name, light, dark] of css.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);/g)) {
    colours.set(name ?? '', (theme === 'light' ? light : dark) ?? '');
  }
  for (const [, name, other] of css.matchAll(/--([\w-]+): var\(--([\w-]+)\);/g)) {
    const colour = colours.get(other ?? '');
    if (colour !== undefined) colours.set(name ?? '', colour);
  }
  return colours;
}

/** Relative luminance and contrast ratio as WCAG 2.2 defines them. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const channel = parseInt(colour.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
function contrast(one: string, other: string): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

const texts =
  'foreground red green yellow blue magenta cyan white bright-black bright-red bright-green bright-yellow bright-blue bright-magenta bright-cyan bright-white'.split(
    ' ',
  );

describe.each(['light', 'dark'] as const)('the %s terminal', (theme) => {
  const colours = palette(theme);
  const of = (name: string): string => {
    const colour = colours.get(name);
    if (colour === undefined) throw new Error(`The stylesheet has no --${name}.`);
    return colour;
  };

  // Without black: on a dark background, programs use it to fill areas. xterm brightens black text.
  test.each(texts)('writes %s legibly', (name) => {
    expect(contrast(of(`terminal-${name}`), of('terminal-background'))).toBeGreaterThanOrEqual(leastContrast);
  });

  test('keeps selected text legible and marks visible', () => {
    expect(contrast(of('terminal-foreground'), of('terminal-selection'))).toBeGreaterThanOrEqual(
      leastContrast,
    );
    // Non-text elements need a ratio of 3 (WCAG 2.2, 1.4.11).
    for (const name of [
      'terminal-cursor',
      'source',
      'destination',
      'alarm',
      'ink-faint',
      'terminal-scrollbar',
    ]) {
      expect(contrast(of(name), of('terminal-background'))).toBeGreaterThanOrEqual(3);
    }
  });
});
