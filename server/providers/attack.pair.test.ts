/**
 * Attacks. First the attacker is root in a guest and comes through the front door. Then the attacker is the user of a sandbox, where a
 * hole in QEMU would lead: a probe takes the runner's place in a regular sandbox. Another learner works at the same time and must not
 * notice.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig, type Config } from '../config';
import { Learner } from '../client/learner';
import { processesOf, processIdsOf } from '../testing/leftovers';
import { busyMs, labSetUpTimeoutMs, startTestLab, type TestLab } from '../testing/lab';
import { hostFiles } from '../host/qemu';
import { hostNames, type HostName } from '../protocol/hosts';
import { root } from '../root';
import { prepareLab, type Lab } from '../setup/stages';
import { readSandbox, sandboxDir, sandboxFiles, type SandboxSpec } from '../store/sandboxes';
import { cgroupName, Cgroups } from './cgroup';
import { Isolation } from './isolation';
import { LocalProvider } from './local';
import { diskUsage } from './untrusted';

const lessonId = 'live-migration';
const mebibyte = 1024 * 1024;
/** For TCG on a busy machine. */
const pairTimeoutMs = 180_000;
const commandTimeoutMs = 90_000;
/** For filling a host's memory or disk, which takes 15 to 60 s under TCG. */
const fillTimeoutMs = 240_000;

/** A learner with both prompts who runs one command at a time. */
class Shell {
  readonly learner: Learner;
  #commands = 0;

  constructor(lab: TestLab) {
    this.learner = new Learner(lab.url);
  }

  async start(): Promise<string> {
    await this.learner.startSession(lessonId);
    const { sandboxId } = await this.learner.connect();
    for (const host of hostNames) this.learner.attach(host);
    for (const host of hostNames) await this.learner.untilPrompt(host, true, pairTimeoutMs);
    return sandboxId;
  }

  /** Types a command, waits until it ends, and returns its output. */
  async run(host: HostName, command: string, timeoutMs = commandTimeoutMs): Promise<string> {
    const mark = `done-${++this.#commands}`;
    const before = this.learner.screen(host).length;
    // The typed mark must differ from the printed one.
    this.learner.type(host, `${command}\recho "<"${mark}">"\r`);
    const printed = () => this.learner.screen(host).slice(before);
    await this.learner.until(() => printed().includes(`<${mark}>`), timeoutMs, `end of ${command}`);
    return stripVTControlCharacters(printed());
  }

  /** Measures the round trip of a line at the prompt. */
  async echoMs(host: HostName): Promise<number> {
    const startedAt = performance.now();
    await this.run(host, ':');
    return performance.now() - startedAt;
  }
}

const isolation = await Isolation.probe(readConfig());

describe.skipIf(isolation.report.level !== 'full')('an attacker', () => {
  let lab: TestLab;
  let artifacts: Lab;
  let victim: Shell;
  let victimId: string;
  /** A server of the machine that listens on every address. */
  let machine: Server;
  let callers = 0;
  const figures: Record<string, string> = {};

  const victimSpec = () => readSandbox(sandboxDir(lab.stateDir, victimId));
  const victimRun = () => sandboxFiles(sandboxDir(lab.stateDir, victimId)).run;

  beforeAll(async () => {
    machine = createServer((socket) => {
      callers += 1;
      socket.destroy();
    });
    machine.listen(0, '0.0.0.0');
    await once(machine, 'listening');
    lab = await startTestLab({ hostDiskMiB: 256 });
    artifacts = await prepareLab(readConfig(), root, new AbortController().signal);
    victim = new Shell(lab);
    victimId = await victim.start();
    figures['prompt, without an attack'] = `${Math.round(await victim.echoMs('source'))} ms`;
  }, labSetUpTimeoutMs);
  afterAll(async () => {
    await lab.stop();
    machine.close();
    console.table(figures);
  });

  /** Checks and times the other learner's prompt and the front door during an attack. */
  async function othersNoticeNothing(what: string): Promise<void> {
    const promptMs = await victim.echoMs('source');
    const askedAt = performance.now();
    expect((await fetch(`${lab.operationsUrl()}/ready`)).status).toBe(200);
    const readyMs = performance.now() - askedAt;
    figures[what] = `prompt ${Math.round(promptMs)} ms, gateway ${Math.round(readyMs)} ms`;
    expect(promptMs).toBeLessThan(busyMs);
    expect(readyMs).toBeLessThan(busyMs);
    expect(victim.learner.closeCode).toBeUndefined();
    expect(victim.learner.latest('error')).toBeUndefined();
  }

  /** The peak memory of a sandbox, as its control group counts it. */
  async function peakMemory(sandboxId: string): Promise<number> {
    for (const group of (await Cgroups.find()).paths(cgroupName(sandboxId))) {
      for (const file of ['memory.max_usage_in_bytes', 'memory.peak']) {
        const text = await readFile(join(group, file), 'utf8').catch(() => undefined);
        if (text !== undefined) return Number(text);
      }
    }
    throw new Error('The sandbox has no control group for memory.');
  }

  const machineAddresses = () => [
    '127.0.0.1',
    ...Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).filter(({ family }) => family === 'IPv4').map(({ address }) => address),
    ),
  ];

  /** A shell line that prints `open` for each target that accepts a connection. */
  const knock = (targets: readonly string[]): string =>
    `(${targets
      .map((target) => `(timeout 4 bash -c 'echo >/dev/tcp/${target}' 2>/dev/null && echo op""en ${target})`)
      .join(' & ')}; wait)`;

  const everywhere = (): string[] => {
    const { port } = machine.address() as AddressInfo;
    return [
      ...machineAddresses().map((address) => `${address}/${port}`),
      // QEMU's user network, a cloud's metadata, the internet.
      ...[`10.0.2.2/${port}`, '169.254.169.254/80', '1.1.1.1/443', '8.8.8.8/53'],
    ];
  };

  describe('that is root in a guest', () => {
    let attacker: Shell;
    let attackerId: string;
    const run = () => sandboxFiles(sandboxDir(lab.stateDir, attackerId)).run;

    beforeAll(async () => {
      attacker = new Shell(lab);
      attackerId = await attacker.start();
    }, pairTimeoutMs);

    test('is in a QEMU without privileges', async () => {
      const pids = processIdsOf(run(), 'qemu-system-x86_64');
      expect(pids).toHaveLength(2);
      for (const pid of pids) {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        expect(status).toMatch(/^Seccomp:\t2$/m);
        expect(status).toMatch(/^NoNewPrivs:\t1$/m);
        expect(status).toMatch(/^CapBnd:\t0+$/m);
        expect(Number(/^Uid:\t(\d+)/m.exec(status)?.[1])).toBeGreaterThanOrEqual(readConfig().sessionUidBase);
      }
      const own = await stat(run());
      expect((await stat(victimRun())).uid).not.toBe(own.uid);
    });

    test('reaches no address of the machine or beyond', async () => {
      await attacker.run('source', 'ip route add default via 10.77.0.2 dev eth0');
      await attacker.run('destination', 'sysctl -q net.ipv4.ip_forward=1');
      const output = await attacker.run('source', knock(everywhere()));
      expect(output).not.toMatch(/open \d/);
      expect(callers).toBe(0);
    });

    test('reaches no other pair, at any address', async () => {
      const received = 'cat /sys/class/net/eth0/statistics/rx_packets';
      const count = async () => Number(/^(\d+)\r?$/m.exec(await victim.run('destination', received))?.[1]);
      await victim.run('destination', 'echo of-the-victim >/root/secret');
      const before = await count();
      await attacker.run('source', 'ping -q -f -c 300 -b 10.77.0.255; ping -q -f -c 300 10.77.0.2');
      expect((await count()) - before).toBeLessThan(50);
      expect(await attacker.run('source', 'ssh -n rhel08 cat /root/secret')).not.toContain('of-the-victim');
    });

    test('spins on all its processors: other pairs keep theirs', { timeout: 120_000 }, async () => {
      const spin = 'for i in 1 2 3 4; do (while :; do :; done) & done';
      for (const host of hostNames) await attacker.run(host, spin);
      await othersNoticeNothing('both hosts of another pair spin');
      for (const host of hostNames) await attacker.run(host, 'kill $(jobs -p)');
    });

    test(
      'floods its console and its terminal: neither grows on the machine',
      { timeout: 120_000 },
      async () => {
        const before = await diskUsage(run());
        const [pid = 0] = processIdsOf(sandboxDir(lab.stateDir, attackerId), process.execPath);
        attacker.learner.type('source', 'timeout 8 yes flood >/dev/ttyS0 & timeout 8 yes flood\r');
        await attacker.learner.untilPrompt('source', false, commandTimeoutMs);
        await othersNoticeNothing('another pair floods console and terminal');
        const residentKiB = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
        figures['runner of the flooding pair'] = `${Math.round(residentKiB / 1024)} MiB`;
        expect(residentKiB).toBeLessThan(400 * 1024);
        expect((await diskUsage(run())) - before).toBeLessThan(64 * mebibyte);
        attacker.learner.type('source', '\x03');
        await attacker.learner.untilPrompt('source', true, commandTimeoutMs);
      },
    );

    test('takes all its memory: the machine gives no more', { timeout: 300_000 }, async () => {
      // MAP_POPULATE lets the kernel fill the memory. A file in /dev/shm would take three times as long under TCG.
      const flags = 'mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE';
      const take = `import mmap, os, time; taken = mmap.mmap(-1, 850 << 20, ${flags}); os.fork() or time.sleep(9999)`;
      expect(await attacker.run('destination', `python3 -c '${take}'; echo $?`, fillTimeoutMs)).toContain(
        '0',
      );
      await othersNoticeNothing('a host of another pair runs out of memory');
      const peak = await peakMemory(attackerId);
      figures['peak memory of that pair'] = `${Math.round(peak / mebibyte)} MiB`;
      expect(peak).toBeGreaterThan(850 * mebibyte);
      await attacker.run('destination', 'pkill python3');
      expect(processIdsOf(run(), 'qemu-system-x86_64')).toHaveLength(2);
    });

    test('fills its disk: it gets I/O errors and keeps running', { timeout: 300_000 }, async () => {
      const fill = 'dd if=/dev/zero of=/var/fill bs=4M oflag=direct; rm -f /var/fill';
      const startedAt = Date.now();
      const filling = attacker.run('destination', fill, fillTimeoutMs);
      await othersNoticeNothing('a host of another pair writes its disk full');
      expect(await filling).toMatch(/Input\/output error|No space left/);
      const disks = (await readdir(run())).filter((name) => /^destination.*\.qcow2$/.test(name));
      const sizes = await Promise.all(disks.map(async (name) => (await stat(join(run(), name))).size));
      const size = Math.max(...sizes);
      expect(size).toBeGreaterThan(512 * mebibyte);
      figures['disk of that host'] = `${Math.round(size / mebibyte)} MiB in ${Date.now() - startedAt} ms`;
      // A file may be as large as a host's memory, because saved states are files too.
      expect(size).toBeLessThanOrEqual(Math.max(256, readConfig().hostMemoryMiB + 64) * mebibyte);
      expect(await attacker.run('destination', 'echo still-"here"')).toContain('still-here');
    });

    test(
      'forks without end: only its own host stands still, and its session can be ended',
      { timeout: 120_000 },
      async () => {
        attacker.learner.type('source', 'bomb() { bomb | bomb & }; bomb\r');
        await attacker.learner.untilPrompt('source', false, commandTimeoutMs).catch(() => undefined);
        await othersNoticeNothing('a host of another pair forks without end');
        await attacker.learner.request('DELETE', '/session');
        expect(processesOf(sandboxDir(lab.stateDir, attackerId))).toEqual([]);
      },
    );
  });

  describe('that has escaped from QEMU', () => {
    let directory: string;
    let config: Config;
    let provider: LocalProvider;
    let spec: SandboxSpec;
    let made = 0;

    /** Runs a shell line in the sandbox, with the rights of every process in it. */
    async function inside(script: string): Promise<{ code: number; output: string }> {
      const stream = await provider.connect(spec.id);
      const sent = request({ createConnection: () => stream, method: 'POST', path: '/' });
      sent.end(script);
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      const [, code, output] = /^(-?\d+)\n([^]*)$/.exec(await readAll(response)) ?? [];
      return { code: Number(code), output: output ?? '' };
    }

    const launch = async (): Promise<void> => {
      spec = { ...(await victimSpec()), id: `probe${++made}` };
      await provider.launch(spec);
    };
    const run = () => sandboxFiles(sandboxDir(config.stateDir, spec.id)).run;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'lab-probe-'));
      for (const name of ['dist', 'node_modules']) await mkdir(join(directory, name));
      await writeFile(join(directory, 'package.json'), '{"type":"module"}');
      const program = join(directory, 'dist', 'probe.js');
      await writeFile(
        program,
        `import { exec } from 'node:child_process';
import { createServer } from 'node:http';
createServer(async (request, response) => {
  let script = '';
  for await (const data of request) script += data;
  exec(script, { shell: '/bin/bash', timeout: 30_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) =>
    response.end(\`\${error ? (error.code ?? -1) : 0}\\n\${stdout}\${stderr}\`));
}).listen(process.argv[2] + '/run/runner.sock');
`,
      );
      // Small limits, so the tests reach them quickly.
      config = {
        ...readConfig(),
        stateDir: join(directory, 'state'),
        hostMemoryMiB: 512,
        sessionOverheadMiB: 384,
        hostDiskMiB: 256,
        savedStatesMiB: 0,
      };
      provider = new LocalProvider(config, program, await Isolation.probe(config));
      await launch();
    }, pairTimeoutMs);
    afterAll(async () => {
      await provider.stop(spec.id, 'by-learner');
      await rm(directory, { recursive: true });
    });

    test('has no network', async () => {
      const { output } = await inside(knock(everywhere()));
      expect(output).not.toMatch(/open \d/);
      expect(callers).toBe(0);
      expect((await inside('cat /proc/net/dev')).output.match(/^ *\w+:/gm)).toEqual(['    lo:']);
    });

    test('reaches no socket of the machine, not even an abstract one', async () => {
      const name = `lab-attack-${process.pid}`;
      let connections = 0;
      const abstract = createServer(() => (connections += 1)).listen(`\0${name}`);
      await once(abstract, 'listening');
      await inside(`socat -u OPEN:/etc/passwd ABSTRACT-CONNECT:${name}`);
      abstract.close();
      expect(connections).toBe(0);
    });

    test('finds no files of others', async () => {
      const paths = [
        victimRun(),
        hostFiles(victimRun(), 'source').qmp,
        sandboxFiles(victimRun()).socket,
        join(lab.stateDir, 'leases'),
        sandboxDir(config.stateDir, 'probe0'),
        join(root, 'server'),
        ...['/root/.bashrc', '/etc/shadow', '/home', '/var', '/sys', '/boot', '/proc/1/root/etc'],
      ];
      for (const path of paths) {
        expect(await inside(`cat ${path} || ls ${path}`)).not.toMatchObject({ code: 0 });
      }
      const { output } = await inside(
        `socat - UNIX-CONNECT:${hostFiles(victimRun(), 'source').qmp} </dev/null`,
      );
      expect(output).not.toContain('QMP');
    });

    test('cannot change the artifacts that all pairs share, nor its own program and spec', async () => {
      const files = [
        ...(await readdir(spec.templateDir)).map((name) => join(spec.templateDir, name)),
        ...(await readdir(artifacts.imageDir)).map((name) => join(artifacts.imageDir, name)),
        sandboxFiles(sandboxDir(config.stateDir, spec.id)).spec,
        join(directory, 'dist', 'probe.js'),
      ];
      const before = await Promise.all(files.map(async (file) => (await stat(file)).mtimeMs));
      for (const file of files) {
        const script = `echo x >>${file} || echo x 1<>${file} || chmod 777 ${file} || rm -f ${file} || mv ${file} /tmp || ln -sf /x ${file}`;
        expect((await inside(script)).code).not.toBe(0);
      }
      expect(await Promise.all(files.map(async (file) => (await stat(file)).mtimeMs))).toEqual(before);
    });

    test('sees no key except its own copy', async () => {
      expect((await inside(`stat -c %u:%a ${artifacts.imageDir}/id_ed25519`)).output.trim()).toBe(
        `${(await stat(run())).uid}:600`,
      );
    });

    test('sees and affects no process of others', async () => {
      const machines = processIdsOf(victimRun(), 'qemu-system-x86_64');
      const [pid = 0] = machines;
      expect((await inside(`kill -9 ${pid}`)).output).toMatch(/No such process|not permitted/);
      expect((await inside('echo /proc/[0-9]*')).output.split(' ').length).toBeLessThan(8);
      // The namespace's first process belongs to root; if it died, the whole sandbox would die.
      expect((await inside('kill -9 1; cat /proc/1/mem; ls /proc/1/fd')).code).not.toBe(0);
      expect(processIdsOf(victimRun(), 'qemu-system-x86_64')).toEqual(machines);
    });

    test('gets no privilege', async () => {
      for (const command of [
        'mount -t tmpfs x /tmp',
        'chroot / id',
        'mknod /tmp/disk b 254 0',
        'hostname x',
      ]) {
        expect((await inside(command)).code).not.toBe(0);
      }
      // It may make a user namespace, but gains no rights over anything that it does not own.
      expect((await inside('unshare -Ur umount /usr')).code).not.toBe(0);
      expect((await inside('unshare -Urm mount -o remount,rw,bind /usr')).code).not.toBe(0);
      expect((await inside('setpriv --reuid 0 id; su -c id; echo $?')).output).not.toContain('uid=0');
    });

    test('would be stopped by file modes alone, even without the other barriers', async () => {
      const { uid } = await stat(run());
      const paths = [
        hostFiles(victimRun(), 'source').qmp,
        join(lab.stateDir, 'leases'),
        join(run(), '..', 'sandbox.json'),
      ];
      for (const path of paths) {
        const tried = await execa('setpriv', ['--reuid', String(uid), '--clear-groups', 'cat', path], {
          reject: false,
        });
        expect(tried.stderr).toContain('Permission denied');
      }
    });

    test('replaces its socket with a link: the gateway does not follow it', async () => {
      const socket = sandboxFiles(sandboxDir(lab.stateDir, victimId)).socket;
      const own = sandboxFiles(sandboxDir(config.stateDir, spec.id)).socket;
      const moved = `${own}.kept`;
      await inside(`mv ${own} ${moved} && ln -s ${socket} ${own}`);
      await expect(provider.connect(spec.id)).rejects.toMatchObject({ code: 'lost' });
      // Pipes, which would never end, replace the files that the provider reads of a dead sandbox.
      await provider.stop(spec.id, 'by-learner');
      await launch();
      await inside(`cd ${run()} && rm -f runner.log && mkfifo runner.log ended && rm runner.sock`);
      const { ended } = await provider.list();
      expect(ended).toMatchObject([{ id: spec.id, lastWords: '' }]);
      await launch();
    });

    test('cannot fill the disk, neither with one file nor with many', async () => {
      expect((await inside(`fallocate -l 600M ${run()}/one`)).code).not.toBe(0);
      expect((await inside('head -c 100M /dev/zero >/tmp/fill')).code).not.toBe(0);
      expect((await inside('rm /tmp/fill')).code).toBe(0);
      for (const name of [1, 2, 3]) await inside(`fallocate -l 560M ${run()}/many${name}`);
      const { running, ended } = await provider.list();
      expect(running).toEqual([]);
      expect(ended[0]?.lastWords).toContain('more to the disk');
      await expect(stat(run())).rejects.toThrow('ENOENT');
      await launch();
    });

    test('takes memory: it gets only its own', { timeout: 120_000 }, async () => {
      const taking = inside('tail /dev/zero').catch(() => undefined);
      await othersNoticeNothing('a sandbox takes memory without end');
      await taking;
      const limit = (2 * config.hostMemoryMiB + config.sessionOverheadMiB) * mebibyte;
      const peak = await peakMemory(spec.id);
      // It reached the limit and did not exceed it.
      expect(peak).toBeGreaterThan(0.95 * limit);
      expect(peak).toBeLessThanOrEqual(limit);
      await provider.stop(spec.id, 'by-learner');
      await launch();
    });

    test('takes processors: others keep theirs', { timeout: 120_000 }, async () => {
      const spinning = inside(
        'for i in $(seq 50); do (while :; do :; done) & done; sleep 8; kill $(jobs -p)',
      );
      await othersNoticeNothing('a sandbox spins in 50 processes');
      await spinning;
    });

    test(
      'forks without end: it stops at its limit, and nothing is left after stopping it',
      { timeout: 120_000 },
      async () => {
        const bomb = 'bomb() { bomb | bomb & }; bomb; while :; do sleep 100 & done';
        const bombing = inside(bomb).catch(() => undefined);
        const groups = (await Cgroups.find()).paths(cgroupName(spec.id));
        const processes = async () => {
          const listed = await Promise.all(
            groups.map((group) => readFile(join(group, 'cgroup.procs'), 'utf8')),
          );
          return new Set(listed.flatMap((pids) => pids.split('\n').filter(Boolean))).size;
        };
        await expect.poll(processes, { timeout: 20_000 }).toBeGreaterThan(400);
        await othersNoticeNothing('a sandbox forks without end');
        const most = await processes();
        figures['processes of a fork bomb'] = String(most);
        expect(most).toBeLessThanOrEqual(512);
        const { uid } = await stat(run());
        const stoppedAt = performance.now();
        await provider.stop(spec.id, 'by-learner');
        figures['stop of a fork bomb'] = `${Math.round(performance.now() - stoppedAt)} ms`;
        await bombing;
        const owners = (await readdir('/proc'))
          .filter((name) => /^\d+$/.test(name))
          .map((pid) => stat(`/proc/${pid}`).catch(() => undefined));
        const others = (await Promise.all(owners)).filter((stats) => stats?.uid === uid);
        expect(others).toEqual([]);
        await launch();
      },
    );
  });
});
