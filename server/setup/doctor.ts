/** `npm run doctor`: whether the lab can run here, how well, and the command that mends what is wrong. It changes nothing. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../config';
import { availableMemoryBytes, CapacityMeter } from '../gateway/capacity';
import { LabError } from '../protocol/errors';
import { acceleratorSchema } from '../protocol/session';
import { controllers } from '../providers/cgroup';
import { Isolation } from '../providers/isolation';
import { availableBytes } from '../store/artifacts';
import { lockHolder } from '../store/lock';
import { readPairPeaks } from '../store/pair-cost';
import { checkStateDir, listSandboxIds } from '../store/sandboxes';
import { expectAccelerator } from '../template/accelerator';
import { publicModeProblems } from './public-mode';
import { findLab } from './stages';
import { imagePackages, installedQemu, isAtLeast, minimumQemu, runtimePackages } from './system-packages.mjs';

const findingSchema = z.object({
  /** Stable: scripts may look for it. */
  id: z.string(),
  title: z.string(),
  /** `problem`: the lab cannot run until it is mended. `warning`: it runs, with less. */
  status: z.enum(['ok', 'warning', 'problem']),
  /** What was found, one sentence or less. */
  detail: z.string(),
  /** What mends it, a command where there is one. */
  fix: z.string().optional(),
});
type Finding = z.infer<typeof findingSchema>;

/** The output of `doctor --json`. Fields are added, never changed; `version` would count up otherwise. */
export const diagnosisSchema = z.object({
  version: z.literal(1),
  /** Whether `npm start` leads to a running lab, making what is missing first. */
  canRun: z.boolean(),
  findings: z.array(findingSchema),
  machine: z.object({
    node: z.string(),
    qemu: z.string().nullable(),
    accelerator: acceleratorSchema,
    isolation: z.enum(['full', 'partial', 'none']),
    /** Totals of a session that are limited. */
    limits: z.array(z.enum(controllers)),
    /** Pairs that fit at the same time. */
    pairs: z.number().int().nonnegative(),
    availableMemoryMiB: z.number().nonnegative(),
    freeDiskMiB: z.number().nonnegative(),
  }),
});
export type Diagnosis = z.infer<typeof diagnosisSchema>;

const mebibyte = 1024 * 1024;
/** Host image, template and site, and what making them takes: measured 4 GB. */
const setUpDiskMiB = 4096;

/** @param root the checkout */
export async function diagnose(config: Config, root: string): Promise<Diagnosis> {
  const findings: Finding[] = [];
  const add = (id: string, title: string, status: Finding['status'], detail: string, fix?: string) => {
    findings.push({ id, title, status, detail, ...(fix === undefined ? {} : { fix }) });
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
      `${node}; needed is ${engines.node}`,
      'Install a current Node: https://nodejs.org',
    );

  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const detail = `${process.platform} on ${process.arch}; sandbox hosts are Linux on x86-64`;
    add('platform', 'System', 'problem', detail, 'Run the lab in a Linux virtual machine.');
  }

  const qemu = installedQemu();
  const qemuFix = 'sudo apt-get install --no-install-recommends qemu-system-x86 qemu-utils';
  if (qemu === undefined) add('qemu', 'QEMU', 'problem', 'not installed', qemuFix);
  else if (isAtLeast(qemu, minimumQemu)) add('qemu', 'QEMU', 'ok', qemu);
  else add('qemu', 'QEMU', 'problem', `${qemu}; needed is ${minimumQemu.join('.')}`, qemuFix);

  const lab =
    qemu === undefined
      ? { imageDir: undefined, templateDir: undefined, isSiteCurrent: false }
      : // Whether KVM works has a line of its own.
        await findLab(
          { ...config, accelerator: config.accelerator === 'kvm' ? 'auto' : config.accelerator },
          root,
        );

  const needed = [...runtimePackages, ...(lab.imageDir === undefined ? imagePackages : [])];
  const absent = needed.filter(({ isThere }) => !isThere()).map(({ name }) => name);
  const others = absent.filter((name) => name !== 'qemu-system-x86');
  if (others.length === 0) add('tools', 'Tools', 'ok', 'all there');
  else {
    const fix = `sudo apt-get install --no-install-recommends ${others.join(' ')}`;
    add('tools', 'Tools', 'problem', `missing: ${others.join(', ')}`, fix);
  }

  const kvm = await expectAccelerator(config, qemu === undefined ? undefined : lab.imageDir);
  if (kvm.accelerator === 'kvm') {
    if (kvm.isProven) add('kvm', 'KVM', 'ok', 'boots the hosts’ kernel');
    else
      add('kvm', 'KVM', 'warning', '/dev/kvm opens; whether it boots is known when the host image is made');
  } else {
    const status = config.accelerator === 'kvm' ? 'problem' : config.accelerator === 'tcg' ? 'ok' : 'warning';
    const detail = `not used, hosts are 10 to 20 times slower: ${kvm.reason}`;
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
      'not there for this checkout; the next start makes it',
      'npm run lab -- setup --image-only',
    );
  else {
    const fix = `sudo env LAB_CACHE_DIR=${config.cacheDir} npm run lab -- setup --image-only`;
    add('image', 'Host image', 'problem', 'not there for this checkout, and making it needs root', fix);
  }
  if (lab.templateDir !== undefined) add('template', 'Pair template', 'ok', lab.templateDir);
  else
    add(
      'template',
      'Pair template',
      'warning',
      'not there for this image and QEMU; the next start makes it',
      'npm run lab -- setup',
    );
  if (lab.isSiteCurrent) add('site', 'Site', 'ok', 'built');
  else
    add(
      'site',
      'Site',
      'warning',
      'not built from these sources; the next start does it',
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
  const each = `${pairMiB} MiB each, ${isMeasured ? 'as measured here' : 'the most that one can take'}`;
  const capacity = `${pairs} ${pairs === 1 ? 'pair' : 'pairs'} at once (${each}; limited by ${limitedBy})`;
  if (pairs > 0) add('capacity', 'Capacity', 'ok', capacity);
  else {
    const fix = 'Stop other programs, or set LAB_HOST_MEMORY_MIB or LAB_MEMORY_RESERVE_MIB lower.';
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
      `${diskDetail}, less than one session may write`,
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
    ['port', 'Port of the site', config.host, config.port, 'LAB_PORT'],
    ['metrics-port', 'Port of metrics', '127.0.0.1', config.metricsPort, 'LAB_METRICS_PORT'],
  ] as const) {
    const reason = await whyPortIsNotFree(host, port);
    const holder = await server;
    if (holder) add(id, title, 'ok', `not asked: the lab runs now, process ${holder.pid}`);
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
    if (problems.length === 0) add('public', 'Public mode', 'ok', 'safe');
    else add('public', 'Public mode', 'problem', problems.join(' '), 'Mend these, or LAB_PUBLIC_MODE=false');
  }

  return {
    version: 1,
    canRun: findings.every(({ status }) => status !== 'problem'),
    findings,
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

/** Each finding on a line, and below it what mends it. */
export function formatDiagnosis({ findings, canRun }: Diagnosis): string {
  const marks = { ok: 'ok', warning: 'less', problem: 'PROBLEM' };
  const width = Math.max(...findings.map(({ title }) => title.length));
  const indent = ' '.repeat(width + 12);
  const lines = findings.map(({ title, status, detail, fix }) => {
    const first = `  ${marks[status].padEnd(8)}${title.padEnd(width + 2)}${detail}`;
    return status === 'ok' || fix === undefined ? first : `${first}\n${indent}-> ${fix}`;
  });
  return `${lines.join('\n')}\n\n${canRun ? 'The lab can run here.' : 'The lab cannot run here before the problems are mended.'}`;
}

function kvmFix(reason: string): string {
  if (reason.includes('may not open')) return 'sudo usermod -aG kvm "$USER", then log in again';
  if (reason.includes('no /dev/kvm')) {
    return 'sudo modprobe kvm_intel || sudo modprobe kvm_amd; in a virtual machine, switch on nested virtualization outside of it; in a container, --device /dev/kvm';
  }
  return 'Nothing in this machine: the one that it runs on gives it a KVM that does not work.';
}

async function whyPortIsNotFree(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    await new Promise<void>((done, fail) => {
      server.once('error', fail).listen(port, host, done);
    });
    await new Promise((done) => server.close(done));
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === 'EADDRINUSE'
      ? `${host}:${port} is in use by another program`
      : `${host}:${port}: ${String(error)}`;
  }
}
