import type { ErrorCode } from '../protocol/errors';

/**
 * What the command line exits with, by what went wrong; told in README.md. Codes from 64 on are those of sysexits(3), 130
 * is the shell's for a program that Ctrl-C ended.
 */
const exitCodes: Partial<Record<ErrorCode, number>> = {
  'bad-config': 2,
  'bad-lesson': 2,
  unsafe: 2,
  'missing-tool': 3,
  'disk-full': 4,
  'port-in-use': 5,
  'already-running': 5,
  'build-failed': 6,
  'artifact-damaged': 6,
  'qemu-failed': 6,
  'host-unreachable': 6,
  cancelled: 130,
};

/** EX_SOFTWARE: a defect of ours, printed with its stack. */
export const exitCodeOfDefect = 70;

/** 1 for all that has no code of its own. */
export const exitCodeFor = (code: ErrorCode): number =>
  code === 'internal' ? exitCodeOfDefect : (exitCodes[code] ?? 1);
