/**
 * The template: a pair that was booted once, settled and frozen. Per host three files: RAM (`.ram`), device state
 * (`.state`), disk (`.qcow2` over the host image); and `template.json`.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../config';
import { ControlChannel } from '../host/control-channel';
import { createOverlay } from '../host/disk';
import { Machine } from '../host/machine';
import { hostFiles, qemuArguments, type MachineShape } from '../host/qemu';
import { LabError } from '../protocol/errors';
import { hostNames, type HostName } from '../protocol/hosts';
import { acceleratorSchema, type Accelerator } from '../protocol/messages';
import { ensureArtifact, hashInputs, type OnProgress } from '../store/artifacts';
import { chooseAccelerator, qemuVersion } from './accelerator';

const templateSchema = z.object({
  imageDir: z.string(),
  accelerator: acceleratorSchema,
  memoryMiB: z.number(),
});
export type Template = z.infer<typeof templateSchema> & { dir: string };

/** @throws LabError `artifact-damaged` */
export async function readTemplate(dir: string): Promise<Template> {
  try {
    const json: unknown = JSON.parse(await readFile(join(dir, 'template.json'), 'utf8'));
    return { ...templateSchema.parse(json), dir };
  } catch (cause) {
    throw new LabError('artifact-damaged', `The template ${dir} cannot be read.`, {
      hint: 'Start the lab again: it makes a new one.',
      cause,
    });
  }
}

/** What a machine of this template is made with; the same for the boot and for all clones. */
export const templateShape = (template: Omit<Template, 'dir'>): MachineShape => ({
  accelerator: template.accelerator,
  memoryMiB: template.memoryMiB,
  kernel: join(template.imageDir, 'vmlinuz'),
  initrd: join(template.imageDir, 'initrd.img'),
});

/** Times on the slowest machine measured (2 cores, TCG); a guest that needs more hangs. */
const bootTimeoutMs = 300_000;
const settleTimeoutMs = 180_000;

/**
 * Run on each host before it is frozen: what a learner needs first is then in RAM already (page cache, Podman's
 * databases), shared by all clones.
 */
const settleScript = `
set -eu
test "$(getenforce)" = Enforcing
systemctl is-system-running --wait >/dev/null || systemctl --failed --no-legend >&2
podman ps >/dev/null
podman images >/dev/null
criu check >/dev/null 2>&1 || true
curl --version >/dev/null
sync
`;

/**
 * Makes the template unless it is in the cache.
 * @param imageDir the host image
 * @throws LabError `build-failed` with the guest's console when a host does not come up
 */
export async function ensureTemplate(
  config: Config,
  imageDir: string,
  options: { signal: AbortSignal; onProgress: OnProgress },
): Promise<{ dir: string; accelerator: Accelerator; acceleratorReason: string }> {
  const verdict = await chooseAccelerator(config, imageDir);
  const template = { imageDir, accelerator: verdict.accelerator, memoryMiB: config.hostMemoryMiB };
  const inputs = {
    qemu: await qemuVersion(),
    // An image made anew has other host keys, whatever its directory is called.
    image: await hashInputs([join(imageDir, 'artifact.json')]),
    // Under KVM the guest sees the machine's own CPU, so another CPU needs another template.
    cpu: verdict.accelerator === 'kvm' ? (cpus()[0]?.model ?? 'unknown') : 'max',
    machine: qemuArguments(bootPlan('source', template, 'SOCKETS', 'FILES')).join(' '),
    settle: settleScript,
  };
  const dir = await ensureArtifact({
    cacheDir: config.cacheDir,
    kind: 'template',
    key: await hashInputs([], Object.values(inputs)),
    label: 'Pair template',
    inputs,
    neededBytes: 2 * (config.hostMemoryMiB + 512) * 1024 * 1024,
    signal: options.signal,
    onProgress: options.onProgress,
    build: (into, report) => build(into, template, options.signal, report),
  });
  return { dir, accelerator: verdict.accelerator, acceleratorReason: verdict.reason };
}

const bootPlan = (host: HostName, template: Omit<Template, 'dir'>, sockets: string, into: string) => ({
  ...templateShape(template),
  host,
  directory: sockets,
  disk: hostFiles(into, host).disk,
  ram: { mode: 'boot' as const, file: hostFiles(into, host).ram },
});

async function build(
  into: string,
  template: Omit<Template, 'dir'>,
  signal: AbortSignal,
  report: OnProgress,
): Promise<void> {
  // Not in the cache directory: its path may be too long for a Unix socket.
  const sockets = await mkdtemp(join(tmpdir(), 'lab-template-'));
  const machines: Machine[] = [];
  const channels: ControlChannel[] = [];
  const killAll = () => Promise.all(machines.map((machine) => machine.kill()));
  const onAbort = () => void killAll();
  signal.addEventListener('abort', onAbort);
  try {
    report({ step: 'starting both hosts', percent: 0 });
    for (const host of hostNames) {
      await createOverlay(hostFiles(into, host).disk, join(template.imageDir, 'disk.raw'), 'raw');
      machines.push(await Machine.start(bootPlan(host, template, sockets, into)));
      channels.push(new ControlChannel(sockets, host, template.imageDir));
    }
    report({ step: 'booting both hosts', percent: 5 });
    await Promise.all(
      channels.map((channel, index) =>
        channel.open(bootTimeoutMs).catch(async (cause: unknown) => {
          const console = await machines[index]?.consoleTail().catch(() => '');
          const tail = (console ?? '').trim().split('\n').slice(-15).join('\n');
          throw new LabError('build-failed', `A host did not boot. The end of its console:\n${tail}`, {
            cause,
          });
        }),
      ),
    );
    report({ step: 'settling both hosts', percent: 70 });
    for (const result of await Promise.all(
      channels.map((channel) => channel.run(settleScript, { timeoutMs: settleTimeoutMs, signal })),
    )) {
      if (result.exitCode !== 0) {
        throw new LabError('build-failed', `A host did not settle: ${result.stderr || result.stdout}`);
      }
    }
    report({ step: 'freezing both hosts', percent: 95 });
    const idle = Promise.all(machines.map((machine) => machine.channelIdle()));
    for (const channel of channels) channel.close();
    await idle;
    // Both stop before either is saved, so that neither has packets in flight that the other never sees.
    await Promise.all(machines.map((machine) => machine.pause()));
    await Promise.all(machines.map((machine) => machine.saveState(hostFiles(into, machine.host).state)));
    await killAll();
    await writeFile(join(into, 'template.json'), JSON.stringify(template, null, 2));
  } finally {
    signal.removeEventListener('abort', onAbort);
    for (const channel of channels) channel.close();
    await killAll();
    await rm(sockets, { recursive: true, force: true });
  }
}
