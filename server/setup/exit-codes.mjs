/**
 * Exit codes of every command, by the code of the LabError that ended it; documented in docs/operation.md. Codes from 64 on are those of
 * sysexits(3); 130 is the shell's code for a program that Ctrl-C ended. Plain Node without dependencies, because prestart.mjs uses it.
 */

/** @type {Partial<Record<import('../protocol/errors').ErrorCode, number>>} */
const exitCodes = {
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
  // EX_SOFTWARE: a defect of the lab, printed with its stack.
  internal: 70,
};

/**
 * The exit code for an error; 1 for errors without a code of their own.
 * @param {import('../protocol/errors').ErrorCode} code
 */
export const exitCodeFor = (code) => exitCodes[code] ?? 1;
