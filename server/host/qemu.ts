/** The one place that builds a QEMU command line, for the template and for its clones. */
import { join } from 'node:path';
import type { CpuModels, HostName } from '../protocol/hosts';
import type { Accelerator } from '../protocol/session';

/** Sockets and files of one host's virtual machine inside of its directory. Names are short: a Unix socket's path holds 107 bytes (unix(7)). */
export const hostFiles = (directory: string, host: HostName) => ({
  qmp: join(directory, `${host}.qmp`),
  /** Byte stream to the guest's virtio-serial port `lab.ssh`. */
  ssh: join(directory, `${host}.ssh`),
  /** OpenSSH's multiplexing socket. */
  control: join(directory, `${host}.ctl`),
  /** This end of the pair's private link. */
  link: join(directory, `${host}.net`),
  disk: join(directory, `${host}.qcow2`),
  ram: join(directory, `${host}.ram`),
  /** Device state, without RAM. */
  state: join(directory, `${host}.state`),
  /** RAM pages that differ from the template's (see guest-memory.ts). */
  pages: join(directory, `${host}.pages.zst`),
  log: join(directory, `${host}.log`),
});

/** What template and clone must have in common, or the clone cannot load the template's state. */
export interface MachineShape {
  accelerator: Accelerator;
  memoryMiB: number;
  /** Guest kernel and initrd, from the host image. */
  kernel: string;
  initrd: string;
  /** Hosts that have another CPU than the accelerator's own. */
  cpus: CpuModels;
}

export interface MachinePlan extends MachineShape {
  host: HostName;
  /** Directory of this machine's sockets and log. */
  directory: string;
  /** The machine's own qcow2 overlay. */
  disk: string;
  /**
   * `boot` writes RAM to a shared file that becomes the template; `clone` maps the template's file privately
   * (copy-on-write) and waits for `migrate-incoming`; `derive` waits as well and writes to a file that is a copy of a template's.
   */
  ram: { mode: 'boot' | 'clone' | 'derive'; file: string };
}

const macAddresses: Record<HostName, string> = {
  source: '52:54:00:4d:00:01',
  destination: '52:54:00:4d:00:02',
};

/**
 * All that TCG can do, but what makes it slower: a string instruction goes byte by byte in TCG, so the kernel is not told that they are
 * fast (`erms` to `fsrc`); protection of user pages from the kernel ends a block of translated code twice in each copy (`smap`),
 * memory keys are loaded at each switch (`pku`), and a fifth level of page tables is walked in software (`la57`). Together they cost
 * 9 % of the processor time of Podman's and CRIU's commands (QEMU 10.0.2).
 */
const tcgCpu = 'max,erms=off,fsrm=off,fzrm=off,fsrs=off,fsrc=off,smap=off,pku=off,la57=off';

/**
 * What a kernel does beside its work costs little on a processor and much in TCG: timers as fine as Go's scheduler asks for (20 µs,
 * now 4 ms), accounts of pressure and of the kernel's own memory, and hardening against processes of other users, of which a guest
 * has none. Without them Podman's and CRIU's commands take a sixth less processor time (QEMU 10.0.2, Linux 6.12), and the timers
 * alone are a tenth.
 */
const forTcg = [
  'highres=off',
  'psi=0',
  'cgroup.memory=nokmem,nosocket',
  'init_on_alloc=0',
  'randomize_kstack_offset=off',
  'hardened_usercopy=off',
  'tsc=reliable',
];

const kernelCommandLine = (host: HostName, accelerator: Accelerator): string =>
  [
    'root=/dev/vda',
    // The image's small initrd does not guess.
    'rootfstype=ext4',
    'rw',
    'console=ttyS0',
    // Debian's list has AppArmor before SELinux, and the two exclude one another; the others would only cost time.
    'lsm=landlock,yama,selinux',
    'enforcing=1',
    'net.ifnames=0',
    // The guest has one user, who is root: there is nobody to protect from its processes by slower code.
    'mitigations=off',
    // Making and removing a container's namespaces waits for grace periods, many of them, one after the other.
    'rcupdate.rcu_expedited=1',
    // A huge page in the guest is 2 MiB that a clone copies when one byte of it changes.
    'transparent_hugepage=never',
    'quiet',
    ...(accelerator === 'tcg' ? forTcg : []),
    // On a machine that is busy with other guests udev took longer than the 90 s after which systemd gives devices up.
    'systemd.default_device_timeout_sec=infinity',
    `systemd.hostname=${host}`,
  ].join(' ');

/**
 * Arguments of qemu-system-x86_64 for one host. Needs QEMU 8.2: `rom=off` of memory-backend-file came with it, and
 * without it a clone would have to open the template's RAM writable.
 */
export function qemuArguments(plan: MachinePlan): string[] {
  const own = hostFiles(plan.directory, plan.host);
  const peer = hostFiles(plan.directory, plan.host === 'source' ? 'destination' : 'source');
  const { mode } = plan.ram;
  return [
    ...['-name', plan.host],
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...[
      '-machine',
      'q35,memory-backend=ram,graphics=off,vmport=off,smbus=off,sata=off,hpet=off,suppress-vmdesc=on',
    ],
    ...(plan.accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', plan.cpus[plan.host] ?? 'host']
      : ['-accel', 'tcg,thread=multi,tb-size=256', '-cpu', plan.cpus[plan.host] ?? tcgCpu]),
    // Saved states are QEMU's stream of devices alone (see Machine.saveState), which has no configuration section.
    ...['-global', 'migration.send-configuration=off'],
    ...['-smp', '1', '-m', `${plan.memoryMiB}M`],
    ...[
      '-object',
      `memory-backend-file,id=ram,size=${plan.memoryMiB}M,mem-path=${plan.ram.file},` +
        (mode === 'clone' ? 'share=off,readonly=on,rom=off' : 'share=on'),
    ],
    ...[
      '-kernel',
      plan.kernel,
      '-initrd',
      plan.initrd,
      '-append',
      kernelCommandLine(plan.host, plan.accelerator),
    ],
    ...['-rtc', 'base=utc,clock=host'],
    ...['-blockdev', `driver=file,filename=${plan.disk},node-name=file,discard=unmap`],
    ...['-blockdev', 'driver=qcow2,file=file,node-name=disk,discard=unmap'],
    // A machine's full disk too is the guest's I/O error; by default QEMU would stop the guest until somebody makes room.
    ...['-device', 'virtio-blk-pci,drive=disk,werror=report'],
    ...[
      '-netdev',
      `dgram,id=link,local.type=unix,local.path=${own.link},remote.type=unix,remote.path=${peer.link}`,
    ],
    ...['-device', `virtio-net-pci,netdev=link,mac=${macAddresses[plan.host]},romfile=`],
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=ssh,path=${own.ssh},server=on,wait=off`],
    ...['-device', 'virtserialport,chardev=ssh,name=lab.ssh'],
    // Where the guest says that its end of lab.ssh is new. QEMU's event for that comes once a second at most and would hide it.
    ...['-chardev', 'ringbuf,id=ready,size=4096', '-device', 'virtserialport,chardev=ready,name=lab.ready'],
    // Reseeds the clone's random generator: its kernel sees a new generation id after the state is loaded.
    ...['-device', 'vmgenid,guid=auto'],
    // A ring and not a file: whatever a guest writes to its console, the machine's disk does not fill.
    ...['-chardev', 'ringbuf,id=console,size=65536', '-serial', 'chardev:console'],
    ...['-qmp', `unix:${own.qmp},server=on,wait=off`],
    // Without -S QEMU lets the guest run as soon as its state is loaded, before anybody asks for it.
    ...(mode === 'boot' ? [] : ['-S', '-incoming', 'defer']),
  ];
}
