import { expect, test } from 'vitest';
import { ShellMarkScanner, type ShellMark } from './shell-marks';

const output = Buffer.from(
  '\x1b]133;D;0\x07\x1b]133;A\x07root@source:~# \x1b]133;B\x07ls\r\n\x1b]133;C\x07\x1b[1mfile\x1b[0m\r\n\x1b]133;D;127\x1b\\',
);
const marks: ShellMark[] = [
  { kind: 'command-end', exitCode: 0 },
  { kind: 'prompt' },
  { kind: 'command-start' },
  { kind: 'command-end', exitCode: 127 },
];

test('finds the same marks wherever the output is cut', () => {
  for (let cut = 0; cut <= output.length; cut++) {
    const scanner = new ShellMarkScanner();
    expect([...scanner.scan(output.subarray(0, cut)), ...scanner.scan(output.subarray(cut))]).toEqual(marks);
  }
  const scanner = new ShellMarkScanner();
  expect([...output].flatMap((byte) => scanner.scan(Uint8Array.of(byte)))).toEqual(marks);
});

test('a mark without end is given up, and the next one is found', () => {
  const scanner = new ShellMarkScanner();
  const endless = Buffer.from(`\x1b]133;${'x'.repeat(10_000)}\x07\x1b\x1b]133;B\x07`);
  expect(scanner.scan(endless)).toEqual([{ kind: 'prompt' }]);
});
