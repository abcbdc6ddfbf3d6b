/** The operator's command line: `npm start` and `npm run lab -- <command>`. */
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { pino } from 'pino';
import { readConfig, type Config } from '../config';
import { startGateway, type Gateway } from '../gateway/gateway';
import { hasErrno } from '../posix';
import { LabError } from '../protocol/errors';
import { Isolation } from '../providers/isolation';
import { root } from '../root';
import { runProgram, stopSignal } from './program';
import { diagnose, formatDiagnosis } from '../setup/doctor';
import { tryToListen } from '../setup/listen';
import { requireSafeForPublic } from '../setup/public-mode';
import { currentArtifacts, findLab, formatDuration, prepareImage, prepareLab } from '../setup/stages';
import { listArtifacts, pruneArtifacts, type CacheEntry } from '../store/artifacts';
import { tryLock } from '../store/lock';
import { templatesInUse } from '../store/sandboxes';
import { expectAccelerator } from '../template/accelerator';
import { readTemplate } from '../template/template';

interface Options {
  config?: string;
  port?: number;
}

function configFrom(options: Options): Config {
  const config = readConfig(options.config);
  return options.port === undefined ? config : { ...config, port: options.port };
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65535) return port;
  throw new InvalidArgumentError('The port must be a number from 0 to 65535; 0 picks a free port.');
}

/** @throws LabError `port-in-use`, or `bad-config` when this user or machine cannot listen on that port at all */
async function requireFreePort({ host, port }: Config): Promise<void> {
  const cause = await tryToListen(host, port);
  if (cause === undefined) return;
  if (hasErrno(cause, 'EADDRINUSE')) {
    throw new LabError('port-in-use', `Port ${port} of ${host} is in use by another program.`, {
      hint: 'Stop that program, or choose another port: npm start -- --port 3001',
      cause,
    });
  }
  throw new LabError('bad-config', `Cannot listen on port ${port} of ${host}: ${String(cause)}`, {
    hint: 'Change host or port in the configuration.',
    cause,
  });
}

/** @throws LabError `unsafe` when the configuration requires more safety than this machine is known to provide */
async function requireSafe(config: Config): Promise<void> {
  if (!config.publicMode && config.isolation !== 'full') return;
  const isolation = await Isolation.probe(config);
  isolation.requireConfigured();
  const { imageDir } = await findLab({ ...config, accelerator: 'auto' }, root);
  const { accelerator, reason } = await expectAccelerator(config, imageDir);
  requireSafeForPublic({ config, accelerator, acceleratorReason: reason, isolation: isolation.report });
}

async function start(options: Options): Promise<void> {
  const config = configFrom(options);
  let gateway: Gateway | undefined;
  const lock = await tryLock(join(config.stateDir, 'server'), () => gateway?.url ?? 'still setting up');
  if (!lock.isHeld) {
    const { pid, note } = lock.holder;
    throw new LabError('already-running', `The lab is already running: process ${pid}, ${note}.`, {
      hint: 'Use that one, or stop it first. To run a second lab, give it another LAB_STATE_DIR and port.',
    });
  }
  try {
    // Fail before the long stages if the answer is already known.
    await requireFreePort(config);
    await requireSafe(config);
    const lab = await prepareLab(config, root, stopSignal);
    // Now it is certain whether KVM works.
    await requireSafe(config);
    const logFile = join(config.stateDir, 'server.log');
    gateway = await startGateway({
      config,
      lab,
      lessonsDir: join(root, 'lessons'),
      siteDir: root,
      runnerProgram: join(root, 'dist', 'runner.js'),
      // Synchronous, so no line is lost when the process ends.
      log: pino(pino.destination({ dest: logFile, mkdir: true, sync: true })),
    });
    const { accelerator, acceleratorReason } = lab;
    console.log(
      accelerator === 'kvm'
        ? 'Sandbox hosts run under KVM.'
        : `Sandbox hosts run under TCG, 10 to 20 times slower than KVM. ${acceleratorReason}`,
    );
    const { level, missing } = gateway.isolation;
    if (level !== 'full') {
      console.log(`Isolation of sandboxes: ${level}. ${missing.map(({ what }) => what).join(' ')}`);
    }
    console.log(`\n  Live Migration Lab:  ${gateway.url}\n\nPress Ctrl-C to stop. Log: ${logFile}`);
    await aborted(stopSignal);
    console.log('Stopping: ending all sessions. Press Ctrl-C again to stop without waiting.');
    await gateway.stop('server-stopped');
  } finally {
    await lock.release();
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal.aborted) done();
    signal.addEventListener('abort', () => {
      done();
    });
  });

/** Artifacts that must stay in the cache: those of this checkout, and those of running sandboxes, which may be older. */
async function artifactsInUse(config: Config): Promise<{ current: Set<string>; bySandboxes: Set<string> }> {
  const bySandboxes = await templatesInUse(config.stateDir);
  for (const dir of [...bySandboxes]) {
    const template = await readTemplate(dir).catch(() => undefined);
    if (template) bySandboxes.add(template.imageDir);
    if (template?.base !== undefined) bySandboxes.add(template.base);
  }
  return { current: await currentArtifacts(config, root), bySandboxes };
}

const size = (entry: CacheEntry): string => `${(entry.bytes / 1e9).toFixed(2)} GB`;

async function cacheList(options: Options): Promise<void> {
  const config = configFrom(options);
  const entries = await listArtifacts(config.cacheDir);
  if (entries.length === 0) {
    console.log(`${config.cacheDir} contains no artifacts.`);
    return;
  }
  const { current, bySandboxes } = await artifactsInUse(config);
  console.log(config.cacheDir);
  console.table(
    entries.map((entry) => ({
      kind: entry.kind,
      key: entry.key,
      size: size(entry),
      age: entry.info ? formatDuration(Date.now() - entry.info.createdAtMs) : '',
      'made in': entry.info ? formatDuration(entry.info.buildMs) : '',
      state: bySandboxes.has(entry.dir)
        ? 'in use by sandboxes'
        : current.has(entry.dir)
          ? 'current'
          : entry.info
            ? 'stale'
            : entry.key.includes('.partial-')
              ? 'incomplete'
              : 'damaged',
    })),
  );
}

async function cachePrune(options: Options): Promise<void> {
  const config = configFrom(options);
  const { current, bySandboxes } = await artifactsInUse(config);
  const removed = await pruneArtifacts(config.cacheDir, new Set([...current, ...bySandboxes]));
  for (const entry of removed) console.log(`Removed ${entry.kind} ${entry.key}, ${size(entry)}.`);
  if (removed.length === 0) console.log('Nothing to remove.');
}

const program = new Command('lab').description('Live Migration Lab').exitOverride();
const configOption = ['--config <file>', 'configuration file instead of lab.config.json'] as const;
program
  .command('start', { isDefault: true })
  .description('make what is missing, then serve the site')
  .option('--port <number>', 'port of the site; 0 picks a free port', parsePort)
  .option(...configOption)
  .action(start);
program
  .command('setup')
  .description('make what is missing: sandbox host image, templates, site')
  .option('--image-only', 'make only the image, the one stage that needs root')
  .option(...configOption)
  .action(async (options: Options & { imageOnly?: boolean }) => {
    const config = configFrom(options);
    if (options.imageOnly) await prepareImage(config, root, stopSignal);
    else await prepareLab(config, root, stopSignal);
  });
program
  .command('doctor')
  .description('check whether and how well the lab can run here, and how to fix each problem')
  .option('--json', 'print the result as JSON')
  .option(...configOption)
  .action(async (options: Options & { json?: boolean }) => {
    const diagnosis = await diagnose(configFrom(options), root);
    console.log(options.json ? JSON.stringify(diagnosis, null, 2) : formatDiagnosis(diagnosis));
    process.exitCode = diagnosis.canRun ? 0 : 1;
  });
const cache = program.command('cache').description('list or prune the artifacts that set-up has made');
cache
  .command('list')
  .description('list every artifact with its size, its age, and whether it is in use')
  .option(...configOption)
  .action(cacheList);
cache
  .command('prune')
  .description('remove artifacts that neither this checkout nor a sandbox uses')
  .option(...configOption)
  .action(cachePrune);

await runProgram(program);
