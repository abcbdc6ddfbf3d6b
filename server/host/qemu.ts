/** The only place that builds a QEMU command line, for the template and for its clones. */
import { join } from 'node:path';
import type { CpuModels, HostName } from '../protocol/hosts';
import type { Accelerator } from '../protocol/session';

/** Sockets and files of one host's virtual machine in its directory. Names are short, because a Unix socket's path holds 107 bytes (unix(7)). */
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

/** Properties that a clone must share with its template; otherwise it cannot load the template's state. */
export interface MachineShape {
  accelerator: Accelerator;
  memoryMiB: number;
  /** Guest kernel and initrd, from the host image. */
  kernel: string;
  initrd: string;
  /** CPU models of hosts that do not use the accelerator's default CPU. */
  cpus: CpuModels;
}

export interface MachinePlan extends MachineShape {
  host: HostName;
  /** Directory of this machine's sockets and log. */
  directory: string;
  /** The machine's own qcow2 overlay. */
  disk: string;
  /**
   * `boot` writes RAM to a shared file that becomes the template. `clone` maps the template's file privately (copy-on-write) and
   * waits for `migrate-incoming`. `derive` also waits, and writes to a copy of a template's file.
   */
  ram: { mode: 'boot' | 'clone' | 'derive'; file: string };
}

const macAddresses: Record<HostName, string> = {
  source: '52:54:00:4d:00:01',
  destination: '52:54:00:4d:00:02',
};

/**
 * Everything that TCG can emulate, except features that make it slower. TCG executes string instructions byte by byte, so the kernel
 * must not believe that they are fast (`erms` to `fsrc`). Protecting user pages from the kernel ends a block of translated code twice
 * in each copy (`smap`). TCG loads memory keys at each switch (`pku`) and walks a fifth level of page tables in software (`la57`).
 * Together they cost 9 % of the processor time of Podman's and CRIU's commands (QEMU 10.0.2).
 */
const tcgCpu = 'max,erms=off,fsrm=off,fzrm=off,fsrs=off,fsrc=off,smap=off,pku=off,la57=off';

/**
 * Switches off kernel features that are cheap on a processor and expensive under TCG: timers as fine as Go's scheduler requests
 * (20 µs, now 4 ms), accounting of pressure and of kernel memory, and hardening against other users' processes, which a guest does not
 * have. Without them Podman's and CRIU's commands take a sixth less processor time (QEMU 10.0.2, Linux 6.12); the timers alone
 * account for a tenth.
 */
const tcgKernelParameters = [
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
    // The image's small initrd does not detect the file system.
    'rootfstype=ext4',
    'rw',
    'console=ttyS0',
    // Debian's default list starts AppArmor before SELinux, and the two exclude each other. The remaining modules only cost time.
    'lsm=landlock,yama,selinux',
    'enforcing=1',
    'net.ifnames=0',
    // The guest's only user is root, so the slower code of the mitigations would protect nobody.
    'mitigations=off',
    // Making and removing a container's namespaces waits for many RCU grace periods, one after the other.
    'rcupdate.rcu_expedited=1',
    // With huge pages, a clone would copy 2 MiB whenever one byte changes.
    'transparent_hugepage=never',
    'quiet',
    ...(accelerator === 'tcg' ? tcgKernelParameters : []),
    // On a machine busy with other guests, udev needed longer than the 90 s after which systemd gives up on a device.
    'systemd.default_device_timeout_sec=infinity',
    `systemd.hostname=${host}`,
  ].join(' ');

/**
 * Returns the arguments of qemu-system-x86_64 for one host. They need QEMU 8.2, which added `rom=off` to memory-backend-file.
 * Without it a clone would have to open the template's RAM writable.
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
    // A saved state is only QEMU's stream of devices (see Machine.saveState), which has no configuration section.
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
    // When the machine's disk is full, the guest gets an I/O error. By default QEMU would stop the guest until somebody frees space.
    ...['-device', 'virtio-blk-pci,drive=disk,werror=report'],
    ...[
      '-netdev',
      `dgram,id=link,local.type=unix,local.path=${own.link},remote.type=unix,remote.path=${peer.link}`,
    ],
    ...['-device', `virtio-net-pci,netdev=link,mac=${macAddresses[plan.host]},romfile=`],
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=ssh,path=${own.ssh},server=on,wait=off`],
    ...['-device', 'virtserialport,chardev=ssh,name=lab.ssh'],
    // The guest reports here that its end of lab.ssh is new. QEMU's own event is limited to one a second and would miss some.
    ...['-chardev', 'ringbuf,id=ready,size=4096', '-device', 'virtserialport,chardev=ready,name=lab.ready'],
    // Reseeds the clone's random generator: after loading the state, its kernel sees a new generation id.
    ...['-device', 'vmgenid,guid=auto'],
    // A ring and not a file, so a guest that floods its console cannot fill the machine's disk.
    ...['-chardev', 'ringbuf,id=console,size=65536', '-serial', 'chardev:console'],
    ...['-qmp', `unix:${own.qmp},server=on,wait=off`],
    // Without -S QEMU would run the guest as soon as its state is loaded.
    ...(mode === 'boot' ? [] : ['-S', '-incoming', 'defer']),
  ];
}
