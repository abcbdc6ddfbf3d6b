/** Decides between KVM and TCG by booting the hosts' kernel: that /dev/kvm opens does not prove that KVM works. */
import { constants } from 'node:fs';
import { access, mkdir, readFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import type { Config } from '../config';
import { hasErrno } from '../posix';
import { LabError } from '../protocol/errors';
import { acceleratorSchema, type Accelerator } from '../protocol/session';

export interface AcceleratorVerdict {
  accelerator: Accelerator;
  /** Why KVM is not used; empty with KVM. */
  reason: string;
}

const verdictSchema = z.object({
  /** QEMU, host image, kernel and CPU; a verdict for others does not apply. */
  probedOn: z.string(),
  accelerator: acceleratorSchema,
  reason: z.string(),
});

/**
 * Under working KVM a kernel prints its first line in well under a second. On the machine of the measurement, KVM was broken, and
 * the kernel died at once in its decompressor ("KVM internal error. Suberror: 1").
 */
const probeTimeoutMs = 10_000;

/** @throws LabError `missing-tool` without QEMU */
export async function qemuVersion(): Promise<string> {
  try {
    const { stdout } = await execa('qemu-system-x86_64', ['--version']);
    return /version (\S+)/.exec(stdout)?.[1] ?? stdout;
  } catch (cause) {
    throw new LabError('missing-tool', 'qemu-system-x86_64 is not installed.', {
      hint: 'npm start installs it as root on Debian and Ubuntu, or prints the command.',
      cause,
    });
  }
}

/**
 * @param imageDir host image whose kernel is booted
 * @throws LabError `bad-config` when the configuration requires KVM and KVM does not work
 */
export async function chooseAccelerator(config: Config, imageDir: string): Promise<AcceleratorVerdict> {
  if (config.accelerator === 'tcg')
    return { accelerator: 'tcg', reason: 'The configuration sets accelerator to tcg.' };
  const verdict = await cachedProbe(config.cacheDir, imageDir);
  if (config.accelerator === 'kvm' && verdict.accelerator === 'tcg') {
    throw new LabError('bad-config', `accelerator is kvm, but KVM does not work here: ${verdict.reason}`, {
      hint: 'Fix KVM, or set accelerator to auto.',
    });
  }
  return verdict;
}

/**
 * Tells which accelerator to expect, also before a host image exists. With an image it decides as {@link chooseAccelerator} does.
 * Without one it assumes that KVM works when its device opens: QEMU's firmware boots even where the hosts' kernel does not, so
 * booting the firmware would prove no more.
 * @param imageDir undefined if no host image exists yet
 */
export async function expectAccelerator(
  config: Config,
  imageDir: string | undefined,
): Promise<AcceleratorVerdict & { isProven: boolean }> {
  if (imageDir !== undefined || config.accelerator === 'tcg') {
    const verdict = await chooseAccelerator(
      config.accelerator === 'kvm' ? { ...config, accelerator: 'auto' } : config,
      imageDir ?? '',
    );
    return { ...verdict, isProven: true };
  }
  const reason = await whyDeviceDoesNotOpen();
  if (reason !== undefined) return { accelerator: 'tcg', reason, isProven: true };
  return { accelerator: 'kvm', reason: '', isProven: false };
}

async function whyDeviceDoesNotOpen(): Promise<string | undefined> {
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
    return undefined;
  } catch (cause) {
    return hasErrno(cause, 'ENOENT') ? 'There is no /dev/kvm.' : 'This user may not open /dev/kvm.';
  }
}

async function cachedProbe(cacheDir: string, imageDir: string): Promise<AcceleratorVerdict> {
  const reason = await whyDeviceDoesNotOpen();
  if (reason !== undefined) return { accelerator: 'tcg', reason };
  const probedOn = [await qemuVersion(), imageDir, release(), cpus()[0]?.model ?? ''].join(' | ');
  const file = join(cacheDir, 'kvm-probe.json');
  try {
    const remembered = verdictSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    if (remembered.probedOn === probedOn) return remembered;
  } catch {
    // No verdict yet, or an unreadable one: probe.
  }
  const verdict = await probe(imageDir);
  await mkdir(cacheDir, { recursive: true });
  await writeFileAtomic(file, JSON.stringify({ probedOn, ...verdict }, null, 2));
  return verdict;
}

/** Boots the kernel without a root file system: it panics and, with `-no-reboot`, QEMU exits. */
async function probe(imageDir: string): Promise<AcceleratorVerdict> {
  const { stdout, stderr } = await execa(
    'qemu-system-x86_64',
    [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '256M'],
      ...['-kernel', join(imageDir, 'vmlinuz'), '-append', 'console=ttyS0 panic=-1'],
      ...['-serial', 'stdio'],
    ],
    { reject: false, timeout: probeTimeoutMs, forceKillAfterDelay: 500, stdin: 'ignore' },
  );
  if (stdout.includes('Kernel panic') && stdout.includes('VFS')) return { accelerator: 'kvm', reason: '' };
  const kvmError = /KVM internal error.*|Could not access KVM.*|failed to initialize kvm.*/.exec(stderr)?.[0];
  return {
    accelerator: 'tcg',
    reason: `/dev/kvm exists, but the hosts' kernel does not boot with it (${kvmError ?? 'it printed nothing'}).`,
  };
}
