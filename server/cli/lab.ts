/** The operator's command line: `npm start` and `npm run lab -- <command>`. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { pino } from 'pino';
import { readConfig, type Config } from '../config';
import { startGateway, type Gateway } from '../gateway/gateway';
import { LabError } from '../protocol/errors';
import { Isolation } from '../providers/isolation';
import { root } from '../root';
import { runProgram, stopSignal } from './program';
import { diagnose, formatDiagnosis } from '../setup/doctor';
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
  throw new InvalidArgumentError('It must be a number from 0 to 65535; 0 takes a free port.');
}

/** @throws LabError `port-in-use`, or `bad-config` when this user or machine cannot listen there at all */
async function requireFreePort({ host, port }: Config): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((done, fail) => {
      server.once('error', fail).listen(port, host, done);
    });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'EADDRINUSE') {
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
  await new Promise((done) => server.close(done));
}

/** @throws LabError `unsafe` when the configuration asks for more safety than is known to be here */
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
      hint: 'Use that one, or stop it first. A second one beside it needs its own LAB_STATE_DIR and port.',
    });
  }
  try {
    // What can be asked before the long stages is not asked after them.
    await requireFreePort(config);
    await requireSafe(config);
    const lab = await prepareLab(config, root, stopSignal);
    // Whether KVM works is known now.
    await requireSafe(config);
    const logFile = join(config.stateDir, 'server.log');
    gateway = await startGateway({
      config,
      lab,
      lessonsDir: join(root, 'lessons'),
      siteDir: root,
      runnerProgram: join(root, 'dist', 'runner.js'),
      // Synchronous: a process that ends must not have lines left to write.
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
      console.log(`Isolation of sessions: ${level}. ${missing.map(({ what }) => what).join(' ')}`);
    }
    console.log(`\n  Live Migration Lab:  ${gateway.url}\n\nCtrl-C stops it. Log: ${logFile}`);
    await aborted(stopSignal);
    console.log('Stopping: ending all sessions. Ctrl-C again does not wait for them.');
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

/** What must stay in the cache: what this checkout uses, and what sessions run from, which may be older. */
async function artifactsInUse(config: Config): Promise<{ current: Set<string>; bySessions: Set<string> }> {
  const bySessions = await templatesInUse(config.stateDir);
  for (const dir of [...bySessions]) {
    const template = await readTemplate(dir).catch(() => undefined);
    if (template) bySessions.add(template.imageDir);
    if (template?.base !== undefined) bySessions.add(template.base);
  }
  return { current: await currentArtifacts(config, root), bySessions };
}

const size = (entry: CacheEntry): string => `${(entry.bytes / 1e9).toFixed(2)} GB`;

async function cacheList(options: Options): Promise<void> {
  const config = configFrom(options);
  const entries = await listArtifacts(config.cacheDir);
  if (entries.length === 0) {
    console.log(`${config.cacheDir} holds no artifacts.`);
    return;
  }
  const { current, bySessions } = await artifactsInUse(config);
  console.log(config.cacheDir);
  console.table(
    entries.map((entry) => ({
      kind: entry.kind,
      key: entry.key,
      size: size(entry),
      age: entry.info ? formatDuration(Date.now() - entry.info.createdAtMs) : '',
      'made in': entry.info ? formatDuration(entry.info.buildMs) : '',
      state: bySessions.has(entry.dir)
        ? 'in use by sessions'
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
  const { current, bySessions } = await artifactsInUse(config);
  const removed = await pruneArtifacts(config.cacheDir, new Set([...current, ...bySessions]));
  for (const entry of removed) console.log(`Removed ${entry.kind} ${entry.key}, ${size(entry)}.`);
  if (removed.length === 0) console.log('Nothing to remove.');
}

const program = new Command('lab').description('Live Migration Lab').exitOverride();
const configOption = ['--config <file>', 'configuration file instead of lab.config.json'] as const;
program
  .command('start', { isDefault: true })
  .description('set up what is missing and serve the site')
  .option('--port <number>', 'port of the site; 0 takes a free one', parsePort)
  .option(...configOption)
  .action(start);
program
  .command('setup')
  .description('set up what is missing: sandbox host image, pair template, site')
  .option('--image-only', 'only the image, the one stage that needs root')
  .option(...configOption)
  .action(async (options: Options & { imageOnly?: boolean }) => {
    const config = configFrom(options);
    if (options.imageOnly) await prepareImage(config, root, stopSignal);
    else await prepareLab(config, root, stopSignal);
  });
program
  .command('doctor')
  .description('tell whether the lab can run here, how well, and what mends what is wrong')
  .option('--json', 'for programs')
  .option(...configOption)
  .action(async (options: Options & { json?: boolean }) => {
    const diagnosis = await diagnose(configFrom(options), root);
    console.log(options.json ? JSON.stringify(diagnosis, null, 2) : formatDiagnosis(diagnosis));
    process.exitCode = diagnosis.canRun ? 0 : 1;
  });
const cache = program.command('cache').description('list or prune the artifacts that set-up made');
cache
  .command('list')
  .description('every artifact: size, age, whether it is in use')
  .option(...configOption)
  .action(cacheList);
cache
  .command('prune')
  .description('remove all that neither this checkout nor a session uses')
  .option(...configOption)
  .action(cachePrune);

await runProgram(program);
