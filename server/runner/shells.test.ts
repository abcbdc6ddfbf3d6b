/** Shells of local programs: what a terminal says when its shell ends. */
import pino from 'pino';
import { afterEach, expect, test, vi } from 'vitest';
import { LabError } from '../protocol/errors';
import type { Pair } from './pair';
import { Shells } from './shells';
import { Terminals } from './terminal/terminals';

const ignore = () => undefined;
const events = () => ({ onIdle: ignore, onPrompt: ignore, onRun: ignore, onExit: ignore });
const terminals = new Terminals(4, 1 << 16, events);
afterEach(() => {
  for (const terminal of terminals) terminal.close();
});

const pairWith = (open: () => Promise<void>) =>
  ({ channel: () => ({ open, attachCommand: () => ['cat'] }) }) as unknown as Pair;
const textOf = (id: string): string => {
  const { log } = terminals.get(id);
  const item = log.at({ offset: 0, event: 0 }, log.end);
  return item?.type === 'bytes' ? item.bytes.toString() : '';
};

test('a shell that ended is replaced while the pair is ready, and not when the terminal has one again', async () => {
  const open = vi.fn(() => Promise.resolve());
  const pair = pairWith(open);
  const shells = new Shells(terminals, () => pair, new AbortController().signal, pino({ level: 'silent' }));
  const terminal = terminals.get('source');
  await shells.replace(terminal);
  expect(terminal.isOpen).toBe(true);
  const attach = vi.spyOn(shells, 'attach');
  await shells.replace(terminal);
  expect(attach).not.toHaveBeenCalled();
  terminal.close();
  const rewound = new Shells(
    terminals,
    vi.fn().mockReturnValueOnce(pair),
    new AbortController().signal,
    pino(),
  );
  await rewound.replace(terminal);
  expect(terminal.isOpen).toBe(false);
  expect(open).toHaveBeenCalledTimes(3);
});

test('a login that fails tells the page what failed, and the log why', async () => {
  const foreign = new Error("EACCES: permission denied, open '/var/lib/lab/keys/id'");
  const lines: string[] = [];
  const log = pino({}, { write: (line) => lines.push(line) });
  const pair = pairWith(() => Promise.reject(foreign));
  const shells = new Shells(terminals, () => pair, new AbortController().signal, log);
  await shells.replace(terminals.get('destination'));
  const { message } = LabError.from(foreign, 'The login failed').toWire();
  expect(textOf('destination')).toContain(`no new shell: ${message}`);
  expect(lines.join('')).toContain('EACCES');
});
