/** When the line is looked at, on a screen that shows an echo as late as a slow machine would. */
import { expect, test } from 'vitest';
import { CommandEntry } from './command-entry';
import type { Screen } from './screen';
import type { Shell } from './shell';

test('what was typed a moment ago stands in the way, though its echo is not on the screen yet', async () => {
  const typedAtMs = Date.now();
  const echoMs = 300;
  const shell = { count: 1, idle: true, isAtCleanPrompt: false, typedAtMs, entered: () => undefined };
  const screen = {
    settled: () => Promise.resolve(),
    get isAtEmptyPrompt() {
      return Date.now() < typedAtMs + echoMs;
    },
  };
  const typed: string[] = [];
  const entry = new CommandEntry(shell as unknown as Shell, screen as unknown as Screen, (text) =>
    typed.push(text),
  );
  expect(await entry.enter('command', 'refuse', 'run')).toBe('half-typed');
  expect(typed).toEqual([]);
});
