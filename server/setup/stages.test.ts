import { describe, expect, test } from 'vitest';
import { formatDuration, parseRecipeStep } from './stages';

describe('parseRecipeStep', () => {
  test('parses steps with and without a percentage, and ignores other lines', () => {
    expect(parseRecipeStep('==> 3/9 Building CRIU')).toEqual({ step: '3/9 Building CRIU' });
    expect(parseRecipeStep('==> 1/9 37% Installing Debian 13')).toEqual({
      step: '1/9 Installing Debian 13',
      percent: 37,
    });
    expect(parseRecipeStep('Setting up criu (4.1.1-1) ...')).toBeUndefined();
  });
});

describe('formatDuration', () => {
  test('shows seconds up to a minute, then minutes and seconds', () => {
    expect([0, 1499, 59_400, 59_600, 125_000].map(formatDuration)).toEqual([
      '0 s',
      '1 s',
      '59 s',
      '1 min 0 s',
      '2 min 5 s',
    ]);
  });
});
