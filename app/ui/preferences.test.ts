import { afterEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { fontSizesPx, panelStorage, readPreference, readStored } from './preferences';

/** Makes the browser's storage return this value for every key. */
function store(value: string | null): void {
  vi.stubGlobal('localStorage', { getItem: () => value });
}

afterEach(() => {
  vi.unstubAllGlobals();
});

test('reads stored preferences', () => {
  store('18');
  expect(readPreference('fontSizePx')).toBe(18);
  store('"dark"');
  expect(readPreference('theme')).toBe('dark');
  store('{"source": 40, "destination": 60}');
  expect(JSON.parse(panelStorage.getItem('sizes') ?? '')).toEqual({ source: 40, destination: 60 });
});

test.each(['', '{', 'null', '"huge"', '-3', '1e9', '[]', '{"a":{"b":1}}'])('ignores %s', (garbage) => {
  store(garbage);
  expect(readPreference('fontSizePx')).toBe(fontSizesPx.usual);
  expect(readPreference('screenReaderMode')).toBe(false);
  expect(readPreference('theme')).toBe('system');
  expect(panelStorage.getItem('sizes')).toBeNull();
});

test('works without storage', () => {
  vi.stubGlobal('localStorage', undefined);
  expect(readPreference('theme')).toBe('system');
  expect(readStored('layout', z.string())).toBeUndefined();
});
