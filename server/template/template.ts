/**
 * The template: a pair that was booted once, prepared and frozen. Each host has three files: RAM (`.ram`), device state (`.state`)
 * and disk (`.qcow2`, over the host image). `template.json` describes the template.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { z } from 'zod';
import type { Config } from '../config';
import { ControlChannel, startShell } from '../host/control-channel';
import { createOverlay } from '../host/disk';
import { imageCredentials } from '../host/identity';
import { Machine } from '../host/machine';
import { hostFiles, qemuArguments, type MachinePlan, type MachineShape } from '../host/qemu';
import { LabError } from '../protocol/errors';
import { cpuModels, hostNames, type CpuModels, type HostName } from '../protocol/hosts';
import { acceleratorSchema, type Accelerator } from '../protocol/session';
import { ensureArtifact, hashInputs, type OnProgress } from '../store/artifacts';
import { chooseAccelerator, qemuVersion } from './accelerator';

const cpusSchema = z.object({
  source: z.enum(cpuModels).optional(),
  destination: z.enum(cpuModels).optional(),
});
const templateSchema = z.object({
  imageDir: z.string(),
  accelerator: acceleratorSchema,
  memoryMiB: z.number(),
  /** CPU models of hosts that do not use the accelerator's default CPU. */
  cpus: cpusSchema.default({}),
  /** Directory of the template that this one was made from and whose disks it needs; absent for a booted template. */
  base: z.string().optional(),
});
export type Template = z.infer<typeof templateSchema> & { dir: string };

/** @throws LabError `artifact-damaged` */
export async function readTemplate(dir: string): Promise<Template> {
  try {
    const json: unknown = JSON.parse(await readFile(join(dir, 'template.json'), 'utf8'));
    return { ...templateSchema.parse(json), dir };
  } catch (cause) {
    throw new LabError('artifact-damaged', `Cannot read the template ${dir}.`, {
      hint: 'Start the lab again: it makes a new template.',
      cause,
    });
  }
}

/** The shape of every machine of this template, booted or cloned. */
export const templateShape = (template: Omit<Template, 'dir'>): MachineShape => ({
  accelerator: template.accelerator,
  memoryMiB: template.memoryMiB,
  kernel: join(template.imageDir, 'vmlinuz'),
  initrd: join(template.imageDir, 'initrd.img'),
  cpus: template.cpus,
});

/** Enough for the slowest machine measured (2 cores, TCG); a guest that needs longer hangs. */
const bootTimeoutMs = 300_000;
const settleTimeoutMs = 180_000;
/** For one set-up script of a lesson. The slowest action of any lesson, a WildFly start, takes under a minute. */
const setupTimeoutMs = 600_000;

/** Lets the next client's sshd start before the host is frozen (see ssh-port.c); under TCG that takes about a second. */
const sshdStartMs = 4000;

/**
 * Runs on each host before it is frozen. It loads what a learner needs first (page cache, Podman's databases, kernel modules) into RAM
 * that all clones share. The modules are those that Podman's network loads with the first container. With them loaded, a `podman run`
 * takes a quarter less processor time under TCG (5.0 instead of 6.7 s with the container's end).
 */
const settleScript = `
set -eu
test "$(getenforce)" = Enforcing
systemctl is-system-running --wait >/dev/null || systemctl --failed --no-legend >&2
podman ps >/dev/null
podman images >/dev/null
criu check >/dev/null 2>&1 || true
modprobe --all bridge nft_ct nft_chain_nat nft_fib_inet nft_masq nf_conntrack_netlink
curl --version >/dev/null
${startShell}
sync
`;

/**
 * The process ID from which `destination` continues to count. Both hosts have counted to about 300 when they are frozen, and a
 * migrated process needs its old ID. Without this gap the ID could already be taken by accident, which is the subject of a lesson of
 * its own. The number is above what a session's checks and commands use on `source` (about 20 processes every 3 s) and below the
 * kernel's limit of 4194304.
 */
const destinationPids = 100_000;

/**
 * Makes the template unless it is in the cache.
 * @param imageDir the host image
 * @param options.cpus CPU models of hosts that do not use the accelerator's default CPU. A kernel examines its CPU at boot, so
 * these hosts cannot be made from a template with other CPUs
 * @throws LabError `build-failed` with the end of the guest's console when a host does not boot
 */
export async function ensureTemplate(
  config: Config,
  imageDir: string,
  options: { signal: AbortSignal; onProgress: OnProgress; cpus?: CpuModels },
): Promise<{ dir: string; accelerator: Accelerator; acceleratorReason: string }> {
  const verdict = await chooseAccelerator(config, imageDir);
  const models = options.cpus ?? {};
  const template = {
    imageDir,
    accelerator: verdict.accelerator,
    memoryMiB: config.hostMemoryMiB,
    cpus: models,
  };
  const named = hostNames.flatMap((host) => (models[host] ? [`${host}: ${models[host]}`] : [])).join(', ');
  const inputs = {
    qemu: await qemuVersion(),
    // A rebuilt image has other host keys, even in a directory of the same name.
    image: await hashInputs([join(imageDir, 'artifact.json')]),
    // Under KVM the guest sees the machine's CPU, so another CPU needs another template.
    cpu: verdict.accelerator === 'kvm' ? (cpus()[0]?.model ?? 'unknown') : 'max',
    machine: qemuArguments(plan('source', 'boot', template, 'SOCKETS', 'FILES')).join(' '),
    settle: settleScript,
    destinationPids: String(destinationPids),
    ...(named === '' ? {} : { cpus: named }),
  };
  const dir = await ensureArtifact({
    cacheDir: config.cacheDir,
    kind: 'template',
    key: await hashInputs([], Object.values(inputs)),
    label: named === '' ? 'Pair template' : `Pair template (${named})`,
    inputs,
    neededBytes: 2 * (config.hostMemoryMiB + 512) * 1024 * 1024,
    signal: options.signal,
    onProgress: options.onProgress,
    build: (into, report) => build(into, template, options.signal, report),
  });
  return { dir, accelerator: verdict.accelerator, acceleratorReason: verdict.reason };
}

const plan = (
  host: HostName,
  mode: 'boot' | 'derive',
  template: Omit<Template, 'dir'>,
  sockets: string,
  into: string,
): MachinePlan => ({
  ...templateShape(template),
  host,
  directory: sockets,
  disk: hostFiles(into, host).disk,
  ram: { mode, file: hostFiles(into, host).ram },
});

async function build(
  into: string,
  template: Omit<Template, 'dir'>,
  signal: AbortSignal,
  report: OnProgress,
): Promise<void> {
  await makeTemplate(into, template, signal, async ({ start, channels, machines }) => {
    report({ step: 'starting both hosts', percent: 0 });
    for (const host of hostNames) {
      await createOverlay(hostFiles(into, host).disk, join(template.imageDir, 'disk.raw'), 'raw');
      await start(host, 'boot');
    }
    report({ step: 'booting both hosts', percent: 5 });
    await Promise.all(
      hostNames.map((host) =>
        channels[host].open(bootTimeoutMs).catch(async (cause: unknown) => {
          const machine = machines.find((candidate) => candidate.host === host);
          const console = await machine?.consoleTail().catch(() => '');
          const tail = (console ?? '').trim().split('\n').slice(-15).join('\n');
          throw new LabError('build-failed', `A host did not boot. Its console ended with:\n${tail}`, {
            cause,
          });
        }),
      ),
    );
    report({ step: 'preparing both hosts', percent: 70 });
    for (const result of await Promise.all(
      hostNames.map((host) => channels[host].run(settleScript, { timeoutMs: settleTimeoutMs, signal })),
    )) {
      if (result.exitCode !== 0) {
        throw new LabError(
          'build-failed',
          `Cannot prepare a booted host for freezing: ${result.stderr || result.stdout}`,
        );
      }
    }
    await channels.destination.run(`echo ${destinationPids} >/proc/sys/kernel/ns_last_pid`, {
      timeoutMs: settleTimeoutMs,
      signal,
    });
    report({ step: 'freezing both hosts', percent: 95 });
  });
}

/** A script that runs on a host before a lesson begins. */
export interface Setup {
  host: HostName;
  text: string;
}

/**
 * Makes the template of a lesson whose hosts need a set-up, unless it is in the cache: wakes the base template, runs the scripts in
 * order, and freezes the hosts again. The new template has the base's form and needs the base's disks.
 * @returns the template's directory; the base's when there are no scripts
 * @throws LabError `build-failed` with the output of the script that failed
 */
export async function ensureLessonTemplate(
  config: Config,
  baseTemplateDir: string,
  setups: readonly Setup[],
  options: { signal: AbortSignal; onProgress: OnProgress },
): Promise<string> {
  if (setups.length === 0) return baseTemplateDir;
  const inputs = {
    base: await hashInputs([join(baseTemplateDir, 'artifact.json')]),
    setups: JSON.stringify(setups.map(({ host, text }) => ({ host, text }))),
  };
  return ensureArtifact({
    cacheDir: config.cacheDir,
    kind: 'template',
    key: await hashInputs([], Object.values(inputs)),
    label: 'Lesson template',
    inputs,
    neededBytes: 2 * (config.hostMemoryMiB + 512) * 1024 * 1024,
    signal: options.signal,
    onProgress: options.onProgress,
    build: (into, report) => derive(into, baseTemplateDir, setups, options.signal, report),
  });
}

async function derive(
  into: string,
  baseDir: string,
  setups: readonly Setup[],
  signal: AbortSignal,
  report: OnProgress,
): Promise<void> {
  const base = await readTemplate(baseDir);
  const template = { ...templateSchema.parse(base), base: baseDir };
  await makeTemplate(into, template, signal, async ({ start, channels, machines }) => {
    report({ step: 'waking both hosts', percent: 0 });
    for (const host of hostNames) {
      const from = hostFiles(baseDir, host);
      const own = hostFiles(into, host);
      // The file consists mostly of holes, which fs.copyFile would fill.
      await execa('cp', ['--sparse=always', from.ram, own.ram]);
      await createOverlay(own.disk, from.disk, 'qcow2');
      const machine = await start(host, 'derive');
      await machine.loadState(from.state);
    }
    await Promise.all(machines.map((machine) => machine.resume()));
    await Promise.all(hostNames.map((host) => channels[host].open(bootTimeoutMs)));
    await Promise.all(hostNames.map((host) => channels[host].wake()));
    for (const [index, { host, text }] of setups.entries()) {
      report({ step: `setting up ${host}`, percent: 10 + (80 * index) / setups.length });
      const result = await channels[host].run(`set -e\n${text}`, { timeoutMs: setupTimeoutMs, signal });
      if (result.exitCode !== 0) {
        throw new LabError(
          'build-failed',
          `A set-up script of the lesson failed on ${host}: ${result.stderr || result.stdout}`,
        );
      }
    }
    await Promise.all(
      hostNames.map((host) => channels[host].run('sync', { timeoutMs: settleTimeoutMs, signal })),
    );
    report({ step: 'freezing both hosts', percent: 95 });
  });
}

/** What {@link makeTemplate} gives to the code that prepares the hosts. */
interface Preparation {
  start: (host: HostName, mode: 'boot' | 'derive') => Promise<Machine>;
  machines: readonly Machine[];
  channels: Readonly<Record<HostName, ControlChannel>>;
}

const socketsPrefix = 'lab-template-';

/** Removes the socket directories of killed processes: `lab-template-<pid>-…`. */
async function removeAbandonedSockets(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${socketsPrefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    // Directories of other users stay.
    await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Lets `prepare` start both hosts and bring them into the wanted state, then freezes them. */
async function makeTemplate(
  into: string,
  template: Omit<Template, 'dir'>,
  signal: AbortSignal,
  prepare: (preparation: Preparation) => Promise<void>,
): Promise<void> {
  await removeAbandonedSockets();
  // Not in the cache directory: its path may be too long for a Unix socket.
  const sockets = await mkdtemp(join(tmpdir(), `${socketsPrefix}${process.pid}-`));
  const machines: Machine[] = [];
  const channel = (host: HostName) => new ControlChannel(sockets, host, imageCredentials(template.imageDir));
  const channels = { source: channel('source'), destination: channel('destination') };
  const closeChannels = () => {
    for (const host of hostNames) channels[host].close();
  };
  const killAll = () => Promise.all(machines.map((machine) => machine.kill()));
  const onAbort = () => {
    // A pending login would otherwise keep trying until the boot timeout.
    closeChannels();
    void killAll();
  };
  signal.addEventListener('abort', onAbort);
  const start = async (host: HostName, mode: 'boot' | 'derive') => {
    const machine = await Machine.start(plan(host, mode, template, sockets, into));
    machines.push(machine);
    return machine;
  };
  try {
    await prepare({ start, machines, channels });
    const fresh = Promise.all(machines.map((machine) => machine.freshSshd(settleTimeoutMs)));
    closeChannels();
    await fresh;
    await sleep(sshdStartMs);
    // Both stop before either is saved, so no packet of one is in flight that the other never sees.
    await Promise.all(machines.map((machine) => machine.pause()));
    await Promise.all(machines.map((machine) => machine.saveState(hostFiles(into, machine.host).state)));
    await killAll();
    await writeFile(join(into, 'template.json'), JSON.stringify(template, null, 2));
  } finally {
    signal.removeEventListener('abort', onAbort);
    closeChannels();
    await killAll();
    await rm(sockets, { recursive: true, force: true });
  }
}
