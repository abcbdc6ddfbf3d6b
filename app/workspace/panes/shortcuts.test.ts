import { describe, expect, test } from 'vitest';
import { shortcutOf } from './shortcuts';

const press = (code: string, key: string, ...held: ('ctrl' | 'shift' | 'alt' | 'meta')[]): KeyboardEvent =>
  ({
    code,
    key,
    ctrlKey: held.includes('ctrl'),
    shiftKey: held.includes('shift'),
    altKey: held.includes('alt'),
    metaKey: held.includes('meta'),
  }) as KeyboardEvent;

describe('shortcuts', () => {
  test('match the key’s position or its character, as intended', () => {
    expect(shortcutOf(press('KeyF', 'F', 'ctrl', 'shift'))).toBe('search');
    expect(shortcutOf(press('F6', 'F6'))).toBe('next-pane');
    expect(shortcutOf(press('F6', 'F6', 'shift'))).toBe('previous-pane');
    expect(shortcutOf(press('Digit5', '%', 'ctrl', 'shift'))).toBe('split');
    expect(shortcutOf(press('Equal', '=', 'ctrl'))).toBe('larger');
    expect(shortcutOf(press('BracketRight', '+', 'ctrl'))).toBe('larger');
    expect(shortcutOf(press('NumpadSubtract', '-', 'ctrl'))).toBe('smaller');
  });

  test('leave the shell’s own keys alone', () => {
    for (const key of 'abcdefghijklmnopqrstuvwxyz') {
      expect(shortcutOf(press(`Key${key.toUpperCase()}`, key, 'ctrl'))).toBeUndefined();
      expect(shortcutOf(press(`Key${key.toUpperCase()}`, key, 'alt'))).toBeUndefined();
    }
    for (const arrow of ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight']) {
      expect(shortcutOf(press(arrow, arrow))).toBeUndefined();
      expect(shortcutOf(press(arrow, arrow, 'ctrl'))).toBeUndefined();
      expect(shortcutOf(press(arrow, arrow, 'shift'))).toBeUndefined();
    }
    // AltGr, as Windows reports it.
    expect(shortcutOf(press('Digit0', '}', 'ctrl', 'alt'))).toBeUndefined();
  });
});
