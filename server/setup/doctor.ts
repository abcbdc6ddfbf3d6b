/** `npm run doctor` checks whether and how well the lab can run here, and prints how to fix each problem. It changes nothing. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../config';
import { availableMemoryBytes, CapacityMeter } from '../gateway/capacity';
import { hasErrno } from '../posix';
import { LabError } from '../protocol/errors';
import { acceleratorSchema } from '../protocol/session';
import { controllers } from '../providers/cgroup';
import { Isolation } from '../providers/isolation';
import { availableBytes } from '../store/artifacts';
import { lockHolder } from '../store/lock';
import { readPairPeaks } from '../store/pair-cost';
import { checkStateDir, listSandboxIds } from '../store/sandboxes';
import { expectAccelerator } from '../template/accelerator';
import { tryToListen } from './listen';
import { publicModeProblems } from './public-mode';
import { findLab } from './stages';
import { imagePackages, installedQemu, isAtLeast, minimumQemu, runtimePackages } from './system-packages.mjs';

const checkSchema = z.object({
  /** Stable: scripts may search for it. */
  id: z.string(),
  title: z.string(),
  /** `problem`: the lab cannot run until it is fixed. `warning`: the lab runs, but not as well as it could. */
  status: z.enum(['ok', 'warning', 'problem']),
  /** The result, one sentence or less. */
  detail: z.string(),
  /** How to fix it, a command where there is one. */
  fix: z.string().optional(),
});
type Check = z.infer<typeof checkSchema>;

/** The output of `doctor --json`. New fields may be added; any other change increments `version`. */
export const diagnosisSchema = z.object({
  version: z.literal(1),
  /** Whether `npm start` would make what is missing and then run the lab. */
  canRun: z.boolean(),
  findings: z.array(checkSchema),
  machine: z.object({
    node: z.string(),
    qemu: z.string().nullable(),
    accelerator: acceleratorSchema,
    isolation: z.enum(['full', 'partial', 'none']),
    /** Resources whose total is limited for each sandbox. */
    limits: z.array(z.enum(controllers)),
    /** Pairs that fit on this machine at once. */
    pairs: z.number().int().nonnegative(),
    availableMemoryMiB: z.number().nonnegative(),
    freeDiskMiB: z.number().nonnegative(),
  }),
});
export type Diagnosis = z.infer<typeof diagnosisSchema>;

const mebibyte = 1024 * 1024;
/** Space for host image, template and site, and for making them: 4 GB measured. */
const setUpDiskMiB = 4096;

/** @param root the checkout */
export async function diagnose(config: Config, root: string): Promise<Diagnosis> {
  const checks: Check[] = [];
  const add = (id: string, title: string, status: Check['status'], detail: string, fix?: string) => {
    checks.push({ id, title, status, detail, ...(fix === undefined ? {} : { fix }) });
  };

  const { engines } = z
    .object({ engines: z.object({ node: z.string() }) })
    .parse(JSON.parse(await readFile(`${root}/package.json`, 'utf8')));
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(engines.node) ?? []).slice(1).map(Number);
  const node = process.versions.node;
  if (isAtLeast(node, [major, minor])) add('node', 'Node', 'ok', node);
  else
    add(
      'node',
      'Node',
      'problem',
      `${node} is too old; the lab needs ${engines.node}`,
      'Install a current Node: https://nodejs.org',
    );

  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const detail = `${process.platform} on ${process.arch}; sandbox hosts need Linux on x86-64`;
    add('platform', 'System', 'problem', detail, 'Run the lab in a Linux virtual machine.');
  }

  const qemu = installedQemu();
  const qemuFix = 'sudo apt-get install --no-install-recommends qemu-system-x86 qemu-utils';
  if (qemu === undefined) add('qemu', 'QEMU', 'problem', 'not installed', qemuFix);
  else if (isAtLeast(qemu, minimumQemu)) add('qemu', 'QEMU', 'ok', qemu);
  else add('qemu', 'QEMU', 'problem', `${qemu} is too old; the lab needs ${minimumQemu.join('.')}`, qemuFix);

  const lab =
    qemu === undefined
      ? { imageDir: undefined, templateDir: undefined, isSiteCurrent: false }
      : // KVM has a check of its own.
        await findLab(
          { ...config, accelerator: config.accelerator === 'kvm' ? 'auto' : config.accelerator },
          root,
        );

  const needed = [...runtimePackages, ...(lab.imageDir === undefined ? imagePackages : [])];
  const absent = needed.filter(({ isThere }) => !isThere()).map(({ name }) => name);
  const others = absent.filter((name) => name !== 'qemu-system-x86');
  if (others.length === 0) add('tools', 'Tools', 'ok', 'all installed');
  else {
    const fix = `sudo apt-get install --no-install-recommends ${others.join(' ')}`;
    add('tools', 'Tools', 'problem', `missing: ${others.join(', ')}`, fix);
  }

  const kvm = await expectAccelerator(config, qemu === undefined ? undefined : lab.imageDir);
  if (kvm.accelerator === 'kvm') {
    if (kvm.isProven) add('kvm', 'KVM', 'ok', 'boots the hosts’ kernel');
    else
      add(
        'kvm',
        'KVM',
        'warning',
        '/dev/kvm opens; whether a host boots with it is known once the host image exists',
      );
  } else {
    const status = config.accelerator === 'kvm' ? 'problem' : config.accelerator === 'tcg' ? 'ok' : 'warning';
    const detail = `not used, so hosts are 10 to 20 times slower: ${kvm.reason}`;
    if (config.accelerator === 'tcg') add('kvm', 'KVM', status, detail);
    else add('kvm', 'KVM', status, detail, kvmFix(kvm.reason));
  }

  const isRoot = process.getuid?.() === 0;
  if (lab.imageDir !== undefined) add('image', 'Host image', 'ok', lab.imageDir);
  else if (isRoot)
    add(
      'image',
      'Host image',
      'warning',
      'missing for this checkout; the next start makes it',
      'npm run lab -- setup --image-only',
    );
  else {
    const fix = `sudo env LAB_CACHE_DIR=${config.cacheDir} npm run lab -- setup --image-only`;
    add('image', 'Host image', 'problem', 'missing for this checkout, and making it needs root', fix);
  }
  if (lab.templateDir !== undefined) add('template', 'Pair template', 'ok', lab.templateDir);
  else
    add(
      'template',
      'Pair template',
      'warning',
      'missing for this image and QEMU; the next start makes it',
      'npm run lab -- setup',
    );
  if (lab.isSiteCurrent) add('site', 'Site', 'ok', 'built');
  else
    add(
      'site',
      'Site',
      'warning',
      'not built from these sources; the next start builds it',
      'npm run lab -- setup',
    );

  const { report } = await Isolation.probe(config);
  if (report.level === 'full') add('isolation', 'Isolation', 'ok', 'full');
  else {
    add(
      'isolation',
      'Isolation',
      config.isolation === 'full' ? 'problem' : 'warning',
      `${report.level}: ${report.missing.map(({ what }) => what).join(' ')}`,
      report.missing.map(({ fix }) => fix).join(' '),
    );
  }

  const running = (await listSandboxIds(config.stateDir)).length;
  const peaks = lab.templateDir === undefined ? [] : await readPairPeaks(config.stateDir, lab.templateDir);
  const availableMemory = await availableMemoryBytes();
  const { pairs, limitedBy, pairBytes, isMeasured } = new CapacityMeter(config, peaks).capacity(
    availableMemory,
    running,
  );
  const pairMiB = Math.round(pairBytes / mebibyte);
  const each = `${pairMiB} MiB each, ${isMeasured ? 'as measured here' : 'the most that a pair may use'}`;
  const capacity = `${pairs} ${pairs === 1 ? 'pair' : 'pairs'} at once (${each}; limited by ${limitedBy})`;
  if (pairs > 0) add('capacity', 'Capacity', 'ok', capacity);
  else {
    const fix = 'Stop other programs, or lower LAB_HOST_MEMORY_MIB or LAB_MEMORY_RESERVE_MIB.';
    add('capacity', 'Capacity', 'problem', capacity, fix);
  }

  const freeDisk = Math.floor((await availableBytes(config.cacheDir)) / mebibyte);
  const isMade = lab.templateDir !== undefined && lab.isSiteCurrent;
  const diskDetail = `${(freeDisk / 1024).toFixed(1)} GiB free for ${config.cacheDir}`;
  if (!isMade && freeDisk < setUpDiskMiB) {
    add(
      'disk',
      'Disk',
      'problem',
      `${diskDetail}; set-up needs ${setUpDiskMiB / 1024} GiB`,
      'npm run lab -- cache prune',
    );
  } else if (freeDisk < 2 * config.hostDiskMiB) {
    add(
      'disk',
      'Disk',
      'warning',
      `${diskDetail}, less than one pair may write`,
      'npm run lab -- cache prune',
    );
  } else add('disk', 'Disk', 'ok', diskDetail);

  try {
    checkStateDir(config.stateDir);
    add('state', 'State directory', 'ok', config.stateDir);
  } catch (error) {
    const { message, hint } = LabError.from(error, 'State directory');
    add('state', 'State directory', 'problem', message, hint);
  }

  const server = lockHolder(join(config.stateDir, 'server'));
  for (const [id, title, host, port, variable] of [
    ['port', 'Site port', config.host, config.port, 'LAB_PORT'],
    ['metrics-port', 'Metrics port', '127.0.0.1', config.metricsPort, 'LAB_METRICS_PORT'],
  ] as const) {
    const reason = await whyPortIsNotFree(host, port);
    const holder = await server;
    if (holder) add(id, title, 'ok', `not checked, because the lab is running as process ${holder.pid}`);
    else if (reason === undefined) add(id, title, 'ok', `${host}:${port} is free`);
    else
      add(
        id,
        title,
        'problem',
        reason,
        `Stop that program (ss -ltnp 'sport = :${port}'), or: ${variable}=${port + 1} npm start`,
      );
  }

  if (config.publicMode) {
    const problems = publicModeProblems({
      config,
      accelerator: kvm.accelerator,
      acceleratorReason: kvm.reason,
      isolation: report,
    });
    if (problems.length === 0) add('public', 'Public mode', 'ok', 'safe for strangers');
    else
      add('public', 'Public mode', 'problem', problems.join(' '), 'Fix these, or set LAB_PUBLIC_MODE=false');
  }

  return {
    version: 1,
    canRun: checks.every(({ status }) => status !== 'problem'),
    findings: checks,
    machine: {
      node,
      qemu: qemu ?? null,
      accelerator: kvm.accelerator,
      isolation: report.level,
      limits: [...report.limits],
      pairs,
      availableMemoryMiB: Math.floor(availableMemory / mebibyte),
      freeDiskMiB: freeDisk,
    },
  };
}

/** Formats each check on a line, with the fix below it. */
export function formatDiagnosis({ findings: checks, canRun }: Diagnosis): string {
  const marks = { ok: 'ok', warning: 'warning', problem: 'PROBLEM' };
  const width = Math.max(...checks.map(({ title }) => title.length));
  const indent = ' '.repeat(width + 12);
  const lines = checks.map(({ title, status, detail, fix }) => {
    const first = `  ${marks[status].padEnd(8)}${title.padEnd(width + 2)}${detail}`;
    return status === 'ok' || fix === undefined ? first : `${first}\n${indent}-> ${fix}`;
  });
  return `${lines.join('\n')}\n\n${canRun ? 'The lab can run here.' : 'The lab cannot run here until the problems are fixed.'}`;
}

function kvmFix(reason: string): string {
  if (reason.includes('may not open')) return 'sudo usermod -aG kvm "$USER", then log in again';
  if (reason.includes('no /dev/kvm')) {
    return 'sudo modprobe kvm_intel || sudo modprobe kvm_amd; in a virtual machine, enable nested virtualization on its host; in a container, add --device /dev/kvm';
  }
  return 'Nothing on this machine can fix it: its hypervisor provides a KVM that does not work.';
}

async function whyPortIsNotFree(host: string, port: number): Promise<string | undefined> {
  const error = await tryToListen(host, port);
  if (error === undefined) return undefined;
  return hasErrno(error, 'EADDRINUSE')
    ? `${host}:${port} is in use by another program`
    : `${host}:${port}: ${String(error)}`;
}
