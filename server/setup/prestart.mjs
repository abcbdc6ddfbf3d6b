/**
 * Prepares what the server needs before it can be loaded: Node, system packages, Node packages, the server's bundle.
 * Plain Node without dependencies, because it runs before any are installed.
 *
 *     node server/setup/prestart.mjs [--test] [--tools] [--system] [--no-system]
 *
 *     --test        also prepares what `npm test` needs, including --tools
 *     --tools       also bundles the authors' command line, the tests and the benchmarks
 *     --system      installs only system packages; run it as root for a user who is not root
 *     --no-system   skips system packages: the doctor reports them and installs nothing
 *
 * Exit codes are those of exit-codes.mjs.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildServer } from './build-server.mjs';
import { exitCodeFor } from './exit-codes.mjs';
import {
  compilerPackages,
  findProgram,
  imagePackages,
  installedQemu,
  isAtLeast,
  minimumQemu,
  runtimePackages,
  testPackages,
} from './system-packages.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const withTests = process.argv.includes('--test');
const withTools = withTests || process.argv.includes('--tools');
const systemOnly = process.argv.includes('--system');
const withoutSystem = process.argv.includes('--no-system');
const startedAt = Date.now();

/** Disk space for `npm ci`: 600 MB measured, plus room for npm's cache. */
const nodePackagesBytes = 1.2e9;
const backportsFile = '/etc/apt/sources.list.d/live-migration-lab-backports.sources';

const seconds = (since) => `${Math.round((Date.now() - since) / 1000)} s`;

/**
 * @param {import('../protocol/errors').ErrorCode} code
 * @param {string} message
 */
function stop(code, message) {
  progress.end();
  console.error(message);
  process.exit(exitCodeFor(code));
}

/** One line of progress: redrawn on a terminal, otherwise printed at most every 10 s. */
const progress = {
  shown: false,
  lastAt: 0,
  show(text) {
    if (process.stdout.isTTY) {
      process.stdout.write(`\r\u001b[K${text.slice(0, (process.stdout.columns || 80) - 1)}`);
      this.shown = true;
    } else if (Date.now() - this.lastAt >= 10_000) {
      console.log(text);
      this.lastAt = Date.now();
    }
  },
  end() {
    if (this.shown) process.stdout.write('\r\u001b[K');
    this.shown = false;
    this.lastAt = 0;
  },
};

// Node

function checkNode() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const wanted = /(\d+)\.(\d+)/.exec(engines.node).slice(1).map(Number);
  if (isAtLeast(process.versions.node, wanted)) return;
  stop(
    'missing-tool',
    `Node ${process.versions.node} is too old: the lab needs ${engines.node}.\nInstall a current Node (https://nodejs.org) and try again.`,
  );
}

// System packages

async function ensureSystemPackages(needsCompiler) {
  const wanted = [
    ...runtimePackages,
    ...imagePackages,
    ...(needsCompiler ? compilerPackages : []),
    ...(withTests ? testPackages : []),
  ];
  const missing = wanted.filter(({ isThere }) => !isThere()).map(({ name }) => name);
  if (missing.length === 0) return false;

  const old = installedQemu();
  const names = missing.map((name) =>
    name === 'qemu-system-x86'
      ? `${name} (${old ? `found ${old}, ` : ''}needs ${minimumQemu.join('.')} or later)`
      : name,
  );
  console.log(`Missing system packages: ${names.join(', ')}.`);
  if (!findProgram('apt-get') || !existsSync('/etc/debian_version')) {
    stop(
      'missing-tool',
      'This program can install them only on Debian and Ubuntu. Install them with your system’s package manager and try again.',
    );
  }
  if (process.getuid() !== 0) {
    const flags = withTests ? ' --system --test' : ' --system';
    stop(
      'missing-tool',
      `Installing them needs root. Run this command once and try again:\n\n    sudo ${process.execPath} ${fileURLToPath(import.meta.url)}${flags}\n`,
    );
  }
  console.log('Installing them with apt-get, as root.');
  await installPackages(missing);

  const stillMissing = wanted.filter(({ isThere }) => !isThere()).map(({ name }) => name);
  if (stillMissing.length > 0) {
    stop(
      'missing-tool',
      `apt-get reported success, but the programs of these packages are still missing: ${stillMissing.join(', ')}.`,
    );
  }
  return true;
}

/** Set when Ctrl-C arrives while it must wait. */
let interrupted = false;

/**
 * Runs apt-get with its progress on one line.
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
async function aptGet(title, args) {
  const since = Date.now();
  // A separate process group, because Ctrl-C between two packages would leave the system's package database half-configured.
  const child = spawn(
    'apt-get',
    ['-y', '-o', 'APT::Status-Fd=3', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Dpkg::Use-Pty=0', ...args],
    {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
    },
  );
  let unpacking = false;
  let now = 'reading package lists';
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
      if (/waiting for cache lock/i.test(text)) now = 'waiting for another package manager to finish';
    });
  }
  createInterface({ input: child.stdio[3] }).on('line', (line) => {
    const [kind, , percent, ...text] = line.split(':');
    if (kind === 'pmstatus') unpacking = true;
    if (kind !== 'pmstatus' && kind !== 'dlstatus') return;
    const doing = kind === 'pmstatus' ? 'installing' : 'downloading';
    now = `${doing}, ${Math.round(Number(percent))} %, ${text.join(':').trim()}`;
  });
  const onSignal = () => {
    interrupted = true;
    if (unpacking) now = 'stopping once apt-get has configured the unpacked packages';
    else child.kill('SIGINT');
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const timer = setInterval(() => progress.show(`  ${title}: ${now}, ${seconds(since)}`), 250);
  const code = await new Promise((resolve) => {
    child.on('error', () => resolve(-1)).on('close', resolve);
  });
  clearInterval(timer);
  process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  progress.end();
  if (interrupted) stop('cancelled', `${title}: stopped.`);
  if (code === 0) console.log(`  ${title}: done, ${seconds(since)}`);
  return { ok: code === 0, output };
}

/** Retries while the package lists are locked: apt-get has no timeout for that lock, and a freshly booted machine often holds it. */
async function aptUpdate() {
  for (let attempt = 0; ; attempt += 1) {
    const { ok, output } = await aptGet('Package lists', ['update']);
    if (ok || attempt >= 30 || !/could not get lock/i.test(output)) return { ok, output };
    await delay(10_000);
  }
}

const ask = (command, args) =>
  spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } }).stdout ?? '';

function candidateQemu(release) {
  const policy = ask('apt-cache', ['policy', ...(release ? ['-t', release] : []), 'qemu-system-x86']);
  // An epoch ("1:") is not part of QEMU's version.
  return /Candidate: (?:\d+:)?(\d+\.\d+)/.exec(policy)?.[1] ?? '0.0';
}

/** The release that provides QEMU: undefined when the default release has a new enough QEMU, otherwise this Debian's backports. */
async function releaseForQemu() {
  if (isAtLeast(candidateQemu(), minimumQemu)) return undefined;
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? '';
  const backports = `${codename}-backports`;
  if (isAtLeast(candidateQemu(backports), minimumQemu)) return backports;

  const targets = ask('apt-get', ['indextargets', '--format', '$(REPO_URI) $(CODENAME) $(ORIGIN)']);
  const uri = targets
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, name, origin]) => name === codename && origin === 'Debian')?.[0];
  if (uri) {
    const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
    const signedBy = existsSync(keyring) ? `Signed-By: ${keyring}\n` : '';
    console.log(`  ${codename} has only QEMU ${candidateQemu()}: adding ${backports} in ${backportsFile}`);
    writeFileSync(
      backportsFile,
      `# QEMU ${minimumQemu.join('.')} or later, for Live Migration Lab.\nTypes: deb\nURIs: ${uri}\nSuites: ${backports}\nComponents: main\n${signedBy}`,
    );
    await aptUpdate();
    if (isAtLeast(candidateQemu(backports), minimumQemu)) return backports;
    rmSync(backportsFile);
  }
  return stop(
    'missing-tool',
    `The newest QEMU in this system's package sources is ${candidateQemu()}, but the lab needs ${minimumQemu.join('.')} or later.\n` +
      'Debian 12 (with backports), Debian 13 and Ubuntu 24.04 provide one. On another system, install one as qemu-system-x86_64 on the PATH.',
  );
}

async function installPackages(names) {
  const updated = await aptUpdate();
  const install = async (title, packages, options = []) => {
    const { ok, output } = await aptGet(title, [
      'install',
      '--no-install-recommends',
      ...options,
      ...packages,
    ]);
    if (ok) return;
    const tail = (updated.ok ? output : updated.output + output).trim().split('\n').slice(-20).join('\n');
    stop(
      'build-failed',
      `apt-get could not install ${packages.join(', ')}. Its output ended with:\n\n${tail}`,
    );
  };
  // A killed run leaves packages unpacked but not configured, and then apt-get refuses to do anything.
  spawnSync('dpkg', ['--configure', '-a'], { stdio: 'ignore' });
  const fromBackports = names.filter((name) => name.startsWith('qemu-'));
  const release = fromBackports.length > 0 ? await releaseForQemu() : undefined;
  if (release) {
    // Both must come from one release: tools of another version could not read what this QEMU writes.
    await install(`QEMU from ${release}`, ['qemu-system-x86', 'qemu-utils'], ['-t', release]);
  }
  const rest = release ? names.filter((name) => !fromBackports.includes(name)) : names;
  if (rest.length > 0) await install('System packages', rest);
}

// Node packages

/** Whether node_modules matches package-lock.json. npm writes its copy of the lock file last, after all install scripts. */
function areNodePackagesCurrent() {
  const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
  const wanted = read('package-lock.json');
  let installed;
  try {
    installed = read('node_modules/.package-lock.json');
  } catch {
    return false;
  }
  const isSame = (a, b) => a.version === b.version && a.integrity === b.integrity;
  const isWanted = Object.entries(wanted).every(
    // Optional packages may be missing: they are for other platforms.
    ([path, entry]) => path === '' || (installed[path] ? isSame(entry, installed[path]) : entry.optional),
  );
  return (
    isWanted &&
    Object.keys(installed).every((path) => wanted[path]) &&
    existsSync(join(root, 'node_modules/node-pty/build/Release/pty.node'))
  );
}

/** Counts the packages in node_modules, as far as two levels show them. */
function countPackages() {
  const modules = join(root, 'node_modules');
  try {
    return readdirSync(modules)
      .filter((name) => !name.startsWith('.'))
      .reduce((sum, name) => sum + (name.startsWith('@') ? readdirSync(join(modules, name)).length : 1), 0);
  } catch {
    return 0;
  }
}

async function installNodePackages() {
  const { bavail, bsize } = statfsSync(root);
  if (bavail * bsize < nodePackagesBytes) {
    const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
    stop(
      'disk-full',
      `Node packages need ${gigabytes(nodePackagesBytes)} free in ${root}, which has ${gigabytes(bavail * bsize)}. Free some space and try again.`,
    );
  }
  const since = Date.now();
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const total = Object.entries(packages).filter(
    ([path, { optional }]) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && !optional,
  ).length;
  console.log('Node packages: npm ci');
  // Headers that are installed beside Node save node-gyp a download.
  const prefix = dirname(dirname(process.execPath));
  const nodedir = existsSync(join(prefix, 'include/node/node.h')) ? { npm_config_nodedir: prefix } : {};
  const logDir = mkdtempSync(join(tmpdir(), 'live-migration-lab-npm-'));
  process.on('exit', () => rmSync(logDir, { recursive: true, force: true }));
  const child = spawn('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error', `--logs-dir=${logDir}`], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    // In a production environment npm would leave out packages that builds and tests need.
    env: { ...process.env, ...nodedir, NODE_ENV: 'development' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  }
  const onSignal = () => {
    interrupted = true;
    child.kill('SIGTERM');
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const timer = setInterval(() => {
    const count = Math.min(countPackages(), total);
    const doing = count < total ? `${count} of ${total}` : 'running install scripts';
    progress.show(`  Node packages: ${doing}, ${seconds(since)}`);
  }, 500);
  const code = await new Promise((resolve) => {
    child.on('error', () => resolve(-1)).on('close', resolve);
  });
  clearInterval(timer);
  process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  progress.end();
  if (interrupted)
    stop('cancelled', 'Node packages: stopped. The next start installs them from the beginning.');
  if (code !== 0 || !areNodePackagesCurrent()) {
    // npm prints the cause first, followed by a page of usage; a compiler prints it last.
    const lines = output.trim().split('\n');
    const shown = lines.length <= 40 ? lines : [...lines.slice(0, 20), '[...]', ...lines.slice(-20)];
    stop('build-failed', `npm ci failed. Its output:\n\n${shown.join('\n')}`);
  }
  console.log(`  Node packages: done, ${seconds(since)}`);
}

// All of it

checkNode();
if (process.platform !== 'linux' || process.arch !== 'x64') {
  stop(
    'missing-tool',
    `Sandbox hosts need Linux on x86-64, but this machine is ${process.platform} on ${process.arch}. Run the lab in a Linux virtual machine on x86-64.`,
  );
}
const needsNodePackages = !systemOnly && !areNodePackagesCurrent();
const installedPackages = !withoutSystem && (await ensureSystemPackages(needsNodePackages || systemOnly));
if (systemOnly) {
  if (!installedPackages) console.log('System packages: all installed.');
  process.exit();
}
if (needsNodePackages) await installNodePackages();
try {
  await buildServer({ tools: withTools });
} catch (error) {
  stop('build-failed', `Cannot bundle the server: ${error.message}`);
}
if (withoutSystem) process.exit();
console.log(
  `Node ${process.versions.node}, system packages, Node packages, server: ready (${((Date.now() - startedAt) / 1000).toFixed(1)} s).`,
);
