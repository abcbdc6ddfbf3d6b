/** System packages and programs that the lab needs. prestart.mjs installs them, and the doctor checks them. Plain Node without dependencies. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The oldest QEMU that can run clones of a template: since 8.2 it can map a RAM file with readonly=on,rom=off. */
export const minimumQemu = /** @type {const} */ ([8, 2]);

/**
 * @param {string} version such as `10.0.2`
 * @param {readonly [number, number]} wanted
 */
export function isAtLeast(version, [major, minor]) {
  const [foundMajor = 0, foundMinor = 0] = version.split('.').map(Number);
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}

/**
 * Finds a program on the PATH or in the directories of root's tools, which are not on every user's PATH.
 * @param {string} name
 */
export function findProgram(name) {
  const dirs = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return dirs
    .map((dir) => join(dir, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Returns QEMU's version, or undefined if QEMU is not installed. */
export function installedQemu() {
  const program = findProgram('qemu-system-x86_64');
  if (!program) return undefined;
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return /version (\d+\.\d+[.\d]*)/.exec(stdout)?.[1];
}

/** @param {string[]} names */
const hasPrograms =
  (...names) =>
  () =>
    names.every(findProgram);
/** @param {string} path */
const hasFile = (path) => () => existsSync(path);

/** @typedef {{ name: string, isThere: () => boolean }} SystemPackage Debian's name of a package, and a test whether its programs or files exist, wherever they came from. */

/** Needed to run sandbox hosts. @type {SystemPackage[]} */
export const runtimePackages = [
  { name: 'qemu-system-x86', isThere: () => isAtLeast(installedQemu() ?? '0.0', minimumQemu) },
  { name: 'qemu-utils', isThere: hasPrograms('qemu-img') },
  { name: 'openssh-client', isThere: hasPrograms('ssh', 'ssh-keygen') },
  { name: 'zstd', isThere: hasPrograms('zstd') },
  { name: 'socat', isThere: hasPrograms('socat') },
  { name: 'util-linux', isThere: hasPrograms('setpriv', 'unshare', 'prlimit') },
  { name: 'bubblewrap', isThere: hasPrograms('bwrap') },
];
/** Needed to build the host image. @type {SystemPackage[]} */
export const imagePackages = [
  { name: 'mmdebstrap', isThere: hasPrograms('mmdebstrap') },
  { name: 'debian-archive-keyring', isThere: hasFile('/usr/share/keyrings/debian-archive-keyring.gpg') },
  { name: 'e2fsprogs', isThere: hasPrograms('mke2fs') },
  { name: 'iproute2', isThere: hasPrograms('ip') },
];
/** `npm ci` compiles node-pty, which has no binary for Linux. @type {SystemPackage[]} */
export const compilerPackages = [
  { name: 'python3', isThere: hasPrograms('python3') },
  { name: 'make', isThere: hasPrograms('make') },
  { name: 'g++', isThere: hasPrograms('g++') },
];
/** @type {SystemPackage[]} */
export const testPackages = [
  { name: 'chromium', isThere: hasFile('/usr/bin/chromium') },
  { name: 'fonts-dejavu-core', isThere: hasFile('/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf') },
];
