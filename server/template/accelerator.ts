/** Decides between KVM and TCG by booting the real kernel: an openable /dev/kvm proves nothing. */
import { constants } from 'node:fs';
import { access, mkdir, readFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import type { Config } from '../config';
import { LabError } from '../protocol/errors';
import { acceleratorSchema, type Accelerator } from '../protocol/session';

export interface AcceleratorVerdict {
  accelerator: Accelerator;
  /** Why KVM is not used; empty with KVM. */
  reason: string;
}

const verdictSchema = z.object({
  /** Verdicts for another kernel, CPU or QEMU say nothing. */
  probedOn: z.string(),
  accelerator: acceleratorSchema,
  reason: z.string(),
});

/**
 * A kernel under working KVM prints its first line in well under a second; a broken KVM on the machine of the
 * measurement died at once in the kernel's decompressor ("KVM internal error. Suberror: 1").
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
 * @throws LabError `bad-config` when the configuration insists on KVM and it does not work
 */
export async function chooseAccelerator(config: Config, imageDir: string): Promise<AcceleratorVerdict> {
  if (config.accelerator === 'tcg') return { accelerator: 'tcg', reason: 'The configuration says so.' };
  const verdict = await rememberedProbe(config.cacheDir, imageDir);
  if (config.accelerator === 'kvm' && verdict.accelerator === 'tcg') {
    throw new LabError('bad-config', `accelerator is kvm, but KVM does not work here: ${verdict.reason}`, {
      hint: 'Mend KVM or set accelerator to auto.',
    });
  }
  return verdict;
}

/**
 * What is known before there is a host image: with one, as {@link chooseAccelerator}; without, KVM counts as working when its
 * device can be opened, for the firmware boots also where the hosts' kernel does not.
 * @param imageDir undefined while there is no host image
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
    const absent = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    return absent ? 'There is no /dev/kvm.' : 'This user may not open /dev/kvm.';
  }
}

async function rememberedProbe(cacheDir: string, imageDir: string): Promise<AcceleratorVerdict> {
  const reason = await whyDeviceDoesNotOpen();
  if (reason !== undefined) return { accelerator: 'tcg', reason };
  const probedOn = [await qemuVersion(), imageDir, release(), cpus()[0]?.model ?? ''].join(' | ');
  const file = join(cacheDir, 'kvm-probe.json');
  try {
    const remembered = verdictSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    if (remembered.probedOn === probedOn) return remembered;
  } catch {
    // No verdict yet, or not one of ours: probe.
  }
  const verdict = await probe(imageDir);
  await mkdir(cacheDir, { recursive: true });
  await writeFileAtomic(file, JSON.stringify({ probedOn, ...verdict }, null, 2));
  return verdict;
}

/** Without a root file system the kernel panics and, with `-no-reboot`, QEMU ends by itself. */
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
  const complaint = /KVM internal error.*|Could not access KVM.*|failed to initialize kvm.*/.exec(
    stderr,
  )?.[0];
  return {
    accelerator: 'tcg',
    reason: `/dev/kvm is there, but the hosts' kernel does not boot with it (${complaint ?? 'no sign of life'}).`,
  };
}
