import { describe, expect, test } from 'vitest';
import { linesEntered, maxProgramCopyBytes, readProgramCopy, withoutEscapes } from './clipboard';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('a program’s copy', () => {
  test('is the text of the sequence', () => {
    expect(readProgramCopy(`c;${base64('häuser 🏠')}`)).toEqual({ text: 'häuser 🏠' });
    expect(readProgramCopy(`;${base64('x')}`)).toEqual({ text: 'x' });
  });

  test('is nothing for a query of the clipboard, or without text', () => {
    for (const payload of [
      'c;?',
      'c;',
      'c',
      '',
      'c;%%%',
      `c;${Buffer.from([0xff, 0xfe]).toString('base64')}`,
    ]) {
      expect(readProgramCopy(payload)).toBeNull();
    }
  });

  test('has a maximum length', () => {
    expect(readProgramCopy(`c;${base64('x'.repeat(maxProgramCopyBytes))}`)).toHaveProperty('text');
    expect(readProgramCopy(`c;${base64('x'.repeat(maxProgramCopyBytes + 1))}`)).toEqual({
      tooLongBytes: maxProgramCopyBytes + 1,
    });
  });
});

describe('a paste', () => {
  test('cannot end its own bracketed paste', () => {
    expect(withoutEscapes('ls\x1b[201~\nrm -rf /\x9b201~')).toBe('ls[201~\nrm -rf /201~');
  });

  test('needs confirmation when it would enter lines', () => {
    expect(linesEntered('ls', false)).toBe(0);
    expect(linesEntered('ls\n', false)).toBe(1);
    expect(linesEntered('a\r\nb\rc\nd', false)).toBe(3);
    expect(linesEntered('a\nb\n', true)).toBe(0);
  });
});
