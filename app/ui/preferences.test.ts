import { afterEach, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { fontSizesPx, panelStorage, readPreference, readStored } from './preferences';

/** A browser that keeps this under every name. */
function keep(value: string | null): void {
  vi.stubGlobal('localStorage', { getItem: () => value });
}

afterEach(() => {
  vi.unstubAllGlobals();
});

it('reads what was kept', () => {
  keep('18');
  expect(readPreference('fontSizePx')).toBe(18);
  keep('"dark"');
  expect(readPreference('theme')).toBe('dark');
  keep('{"source": 40, "destination": 60}');
  expect(JSON.parse(panelStorage.getItem('sizes') ?? '')).toEqual({ source: 40, destination: 60 });
});

it.each(['', '{', 'null', '"huge"', '-3', '1e9', '[]', '{"a":{"b":1}}'])('ignores %s', (garbage) => {
  keep(garbage);
  expect(readPreference('fontSizePx')).toBe(fontSizesPx.usual);
  expect(readPreference('screenReaderMode')).toBe(false);
  expect(readPreference('theme')).toBe('system');
  expect(panelStorage.getItem('sizes')).toBeNull();
});

it('does without a browser that keeps anything', () => {
  vi.stubGlobal('localStorage', undefined);
  expect(readPreference('theme')).toBe('system');
  expect(readStored('layout', z.string())).toBeUndefined();
});
