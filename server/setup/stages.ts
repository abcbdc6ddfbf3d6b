/**
 * The slow part of set-up, after prestart.mjs: sandbox host image, templates, site. A stage is skipped when its inputs have not
 * changed since its last result.
 */
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { Listr, PRESET_TIMESTAMP, type ListrTask } from 'listr2';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import type { Config } from '../config';
import type { Lesson } from '../lessons/lesson';
import { listLessons } from '../lessons/load';
import { hasErrno } from '../posix';
import { LabError } from '../protocol/errors';
import type { Accelerator } from '../protocol/session';
import {
  ensureArtifact,
  findArtifact,
  hashInputs,
  lastBuildMs,
  requireSpace,
  type OnProgress,
  type Progress,
} from '../store/artifacts';
import { tryLock } from '../store/lock';
import { ensureLessonTemplate, ensureTemplate, readTemplate } from '../template/template';

/** The result of set-up: everything that a pair is cloned from. */
export interface Lab {
  imageDir: string;
  templateDir: string;
  /** Template directories of lessons with a set-up or with CPUs of their own, by lesson. */
  lessonTemplateDirs: ReadonlyMap<string, string>;
  accelerator: Accelerator;
  /** Why KVM is not used; empty with KVM. */
  acceleratorReason: string;
  /** Versions of the software on the hosts, such as `criu: 4.1.1`. */
  versions: Record<string, string>;
}

/** The parts of a lab to make; by default all of them. */
export interface LabParts {
  /** Only these lessons' templates. */
  lessonIds?: readonly string[];
  withoutSite?: boolean;
}

interface StageOptions {
  signal: AbortSignal;
  onProgress: OnProgress;
}

const minuteMs = 60_000;

export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Parses a recipe's progress line, such as `==> 3/9 37% Installing packages`. The percentage, if present, is that of the step. */
export function parseRecipeStep(line: string): Progress | undefined {
  const match = /^==> (\d+)\/(\d+) (?:(\d+)% )?(.+)$/.exec(line);
  if (!match) return undefined;
  const [, number, total, percent, title] = match;
  return {
    step: `${number}/${total} ${title}`,
    ...(percent === undefined ? {} : { percent: Number(percent) }),
  };
}

/** Lines of a failed build's log that the error shows; the rest is in the file. */
const shownLogLines = 20;

/**
 * Runs a build and writes its whole output to a log file.
 * @throws LabError `build-failed` with the log's last lines, `cancelled`
 */
async function runLogged(
  command: string,
  args: string[],
  options: {
    cwd: string;
    env?: Record<string, string>;
    logFile: string;
    signal: AbortSignal;
    onLine?: (line: string) => void;
  },
): Promise<void> {
  const log = createWriteStream(options.logFile);
  const tail: string[] = [];
  // A separate process group, so cancelling a build ends everything that it started. setpriv ends the build with this process.
  const child = execa('setpriv', ['--pdeathsig', 'TERM', command, ...args], {
    cwd: options.cwd,
    env: options.env ?? {},
    stdin: 'ignore',
    all: true,
    buffer: false,
    detached: true,
    reject: false,
  });
  let killTimer: NodeJS.Timeout | undefined;
  const killGroup = (signal: NodeJS.Signals) => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch (error) {
      if (!hasErrno(error, 'ESRCH')) throw error;
    }
  };
  const onAbort = () => {
    killGroup('SIGTERM');
    killTimer = setTimeout(() => {
      killGroup('SIGKILL');
    }, 10_000);
  };
  options.signal.addEventListener('abort', onAbort);
  try {
    if (options.signal.aborted) onAbort();
    for await (const line of createInterface({ input: child.all })) {
      log.write(`${line}\n`);
      tail.push(line);
      if (tail.length > shownLogLines) tail.shift();
      options.onLine?.(line);
    }
    const { exitCode, signal, shortMessage } = await child;
    if (options.signal.aborted) throw new LabError('cancelled', 'Cancelled.');
    if (exitCode === 0) return;
    const why =
      exitCode === undefined ? (signal ? `ended by ${signal}` : shortMessage) : `exit code ${exitCode}`;
    throw new LabError(
      'build-failed',
      `${command} failed (${why}). Its output ended with:\n\n${tail.map((line) => `    ${line}`).join('\n')}\n`,
      { hint: `Whole output: ${options.logFile}` },
    );
  } finally {
    clearTimeout(killTimer);
    options.signal.removeEventListener('abort', onAbort);
    await new Promise((done) => log.end(done));
  }
}

async function logFile(config: Config, name: string): Promise<string> {
  const dir = join(config.cacheDir, 'logs');
  try {
    await mkdir(dir, { recursive: true });
  } catch (cause) {
    throw new LabError(
      'bad-config',
      `Cannot write to the cache directory ${config.cacheDir}: ${String(cause)}`,
      {
        hint: 'Set LAB_CACHE_DIR to a writable directory.',
        cause,
      },
    );
  }
  return join(dir, `${name}.log`);
}

// Sandbox host image

const imageTitle = 'Sandbox host image';
/** Two root file systems, the packages they are made of and the disk, before the first are removed: measured 2.8 GB. */
const imageNeededBytes = 4e9;

/** Key of the host image that this checkout makes: changes with anything below `docker/`. */
export const imageKey = (root: string): Promise<string> => hashInputs([join(root, 'docker')]);

async function makeImage(
  config: Config,
  root: string,
  { signal, onProgress }: StageOptions,
): Promise<string> {
  const key = await imageKey(root);
  const log = await logFile(config, `host-image-${key}`);
  if (process.getuid?.() !== 0) {
    throw new LabError(
      'missing-tool',
      'Building the sandbox host image needs root, because it makes file systems.',
      {
        hint: `Run this command once and try again:\n\n    sudo env LAB_CACHE_DIR=${config.cacheDir} ${process.execPath} ${join(root, 'dist', 'lab.js')} setup --image-only\n`,
      },
    );
  }
  return ensureArtifact({
    cacheDir: config.cacheDir,
    kind: 'host-image',
    key,
    label: imageTitle,
    inputs: { recipe: 'docker/' },
    neededBytes: imageNeededBytes,
    signal,
    onProgress,
    build: (dir, report) =>
      runLogged(join(root, 'docker', 'sandbox-host', 'build'), [dir], {
        cwd: root,
        env: config.debianMirror === undefined ? {} : { LAB_DEBIAN_MIRROR: config.debianMirror },
        logFile: log,
        signal,
        onLine: (line) => {
          const progress = parseRecipeStep(line);
          if (progress) report(progress);
        },
      }),
  });
}

const findImage = async (config: Config, root: string): Promise<string | undefined> =>
  findArtifact(config.cacheDir, 'host-image', await imageKey(root));

const imageStage = async (
  config: Config,
  root: string,
  isNeeded: boolean,
  onMade: (dir: string) => void,
): Promise<Stage> => ({
  title: imageTitle,
  isNeeded,
  // 4 min measured on 2 cores with a fast connection to a Debian mirror.
  expectedMs: (await lastBuildMs(config.cacheDir, 'host-image')) ?? 4 * minuteMs,
  make: async (options) => {
    onMade(await makeImage(config, root, options));
  },
});

/** The manifest that the recipe writes into the image. */
const manifestSchema = z.object({ versions: z.record(z.string(), z.string()) });

async function readVersions(imageDir: string): Promise<Record<string, string>> {
  const file = join(imageDir, 'manifest.json');
  try {
    return manifestSchema.parse(JSON.parse(await readFile(file, 'utf8'))).versions;
  } catch (cause) {
    throw new LabError('artifact-damaged', `Cannot read the host image's manifest ${file}.`, {
      hint: `Remove ${imageDir} and start again: set-up makes a new image.`,
      cause,
    });
  }
}

// Site

const siteTitle = 'Site';
/** Disk space for `next build` and its cache: 0.2 GB measured. */
const siteNeededBytes = 0.5e9;

const siteStampSchema = z.object({ key: z.string(), buildMs: z.number() });
const siteStampFile = (root: string): string => join(root, '.next', 'lab-inputs.json');

/** What the built site depends on: pages, course, and every room of the server that a page may import. */
export const siteInputs = [
  'app',
  'lessons',
  'server/client',
  'server/lessons',
  'server/protocol',
  'next.config.js',
  'tsconfig.json',
  'package-lock.json',
];

const siteKey = (root: string): Promise<string> =>
  hashInputs(
    siteInputs.map((path) => join(root, path)),
    [process.versions.node],
  );

async function readSiteStamp(root: string): Promise<z.infer<typeof siteStampSchema> | undefined> {
  try {
    return siteStampSchema.parse(JSON.parse(await readFile(siteStampFile(root), 'utf8')));
  } catch {
    return undefined;
  }
}

const isSiteCurrent = async (root: string): Promise<boolean> =>
  (await readSiteStamp(root))?.key === (await siteKey(root));

async function makeSite(config: Config, root: string, { signal, onProgress }: StageOptions): Promise<void> {
  const lock = await tryLock(join(root, '.next'), () => siteTitle);
  if (!lock.isHeld) {
    throw new LabError('already-running', `Process ${lock.holder.pid} is building the site in ${root}.`, {
      hint: 'Wait until it is done and try again.',
    });
  }
  try {
    await requireSpace(root, siteNeededBytes, siteTitle);
    const key = await siteKey(root);
    const startedAt = Date.now();
    // Until the new stamp is written, .next is incomplete.
    await rm(siteStampFile(root), { force: true });
    await runLogged(process.execPath, [join(root, 'node_modules', 'next', 'dist', 'bin', 'next'), 'build'], {
      cwd: root,
      env: { NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' },
      logFile: await logFile(config, 'site'),
      signal,
      onLine: (line) => {
        const step = /(Creating|Collecting|Generating|Finalizing) [a-z ]*[a-z]/.exec(line)?.[0];
        if (step !== undefined) onProgress({ step: step.replace(/ using.*/, '') });
      },
    });
    await writeFileAtomic(siteStampFile(root), JSON.stringify({ key, buildMs: Date.now() - startedAt }));
  } finally {
    await lock.release();
  }
}

// All stages

type Template = Awaited<ReturnType<typeof ensureTemplate>>;

/** Returns the template if it is in the cache: with an aborted signal, ensureTemplate only looks and makes nothing. */
async function findTemplate(config: Config, imageDir: string): Promise<Template | undefined> {
  try {
    return await ensureTemplate(config, imageDir, {
      signal: AbortSignal.abort(),
      onProgress: () => undefined,
    });
  } catch (error) {
    if (error instanceof LabError && error.code === 'cancelled') return undefined;
    throw error;
  }
}

/** Groups lessons that have a set-up or CPUs of their own. Lessons with equal beginnings form a group, because they share a template. */
async function lessonsByBeginning(root: string, { lessonIds }: LabParts): Promise<Lesson[][]> {
  const alike = new Map<string, Lesson[]>();
  for (const lesson of await listLessons(join(root, 'lessons'))) {
    const { setups, cpus } = lesson;
    const isBase = setups.length === 0 && Object.keys(cpus).length === 0;
    if (isBase || lessonIds?.includes(lesson.id) === false) continue;
    const key = JSON.stringify([cpus, setups.map(({ host, text }) => [host, text])]);
    alike.set(key, [...(alike.get(key) ?? []), lesson]);
  }
  return [...alike.values()];
}

/**
 * Makes the templates of lessons with a set-up or with CPUs of their own. @returns their directories, by lesson
 * @throws LabError as {@link ensureLessonTemplate} does; `bad-lesson`
 */
async function ensureLessonTemplates(
  config: Config,
  root: string,
  baseTemplateDir: string,
  { signal, onProgress, ...parts }: StageOptions & LabParts,
): Promise<Map<string, string>> {
  const { imageDir } = await readTemplate(baseTemplateDir);
  const dirs = new Map<string, string>();
  const queue = await lessonsByBeginning(root, parts);
  const makeNext = async (): Promise<void> => {
    for (let lessons = queue.shift(); lessons; lessons = queue.shift()) {
      const [first] = lessons;
      if (!first) continue;
      const { setups, cpus } = first;
      const options = {
        signal,
        onProgress: (progress: Progress) => {
          onProgress({ ...progress, step: `${first.id}: ${progress.step}` });
        },
      };
      const bootedDir =
        Object.keys(cpus).length === 0
          ? baseTemplateDir
          : (await ensureTemplate(config, imageDir, { ...options, cpus })).dir;
      const dir = await ensureLessonTemplate(config, bootedDir, setups, options);
      for (const { id } of lessons) dirs.set(id, dir);
    }
  };
  // A pair keeps one processor busy most of the time, because its hosts are set up one after the other.
  const made = await Promise.allSettled(Array.from({ length: availableParallelism() }, makeNext));
  const failure = made.find((one) => one.status === 'rejected');
  if (failure) throw failure.reason;
  return dirs;
}

/** Returns the lesson templates if all of them are in the cache. */
async function findLessonTemplates(
  config: Config,
  root: string,
  baseTemplateDir: string,
  parts: LabParts = {},
): Promise<Map<string, string> | undefined> {
  try {
    return await ensureLessonTemplates(config, root, baseTemplateDir, {
      ...parts,
      signal: AbortSignal.abort(),
      onProgress: () => undefined,
    });
  } catch (error) {
    if (error instanceof LabError && error.code === 'cancelled') return undefined;
    throw error;
  }
}

/** Finds the parts of the lab that exist; makes nothing. */
export async function findLab(
  config: Config,
  root: string,
): Promise<{ imageDir: string | undefined; templateDir: string | undefined; isSiteCurrent: boolean }> {
  const imageDir = await findImage(config, root);
  const template = imageDir === undefined ? undefined : await findTemplate(config, imageDir);
  return { imageDir, templateDir: template?.dir, isSiteCurrent: await isSiteCurrent(root) };
}

/** Directories of the artifacts that this checkout and configuration use. */
export async function currentArtifacts(config: Config, root: string): Promise<Set<string>> {
  const { imageDir, templateDir } = await findLab(config, root);
  const lessonTemplates =
    templateDir === undefined ? undefined : await findLessonTemplates(config, root, templateDir);
  const dirs = [imageDir, templateDir];
  for (const dir of lessonTemplates?.values() ?? []) dirs.push(dir, (await readTemplate(dir)).base);
  return new Set(dirs.filter((dir) => dir !== undefined));
}

/** Shows the progress of one stage, with the elapsed and the expected time. */
class StageDisplay {
  readonly #task: { title: string; output: string };
  readonly #title: string;
  readonly #expectedMs: number;
  readonly #startedAt = Date.now();
  readonly #timer: NodeJS.Timeout;
  #progress: Progress = { step: 'starting' };

  constructor(task: { title: string; output: string }, title: string, expectedMs: number) {
    this.#task = task;
    this.#title = title;
    this.#expectedMs = expectedMs;
    // A terminal gets a line that is redrawn every second. A log gets each step, and a line a minute as a sign of life.
    this.#timer = setInterval(
      () => {
        this.#show();
      },
      process.stdout.isTTY ? 1000 : minuteMs,
    );
  }

  get #elapsed(): string {
    return formatDuration(Date.now() - this.#startedAt);
  }

  readonly update: OnProgress = (progress) => {
    if (progress.notice) {
      this.#task.output = progress.step;
      return;
    }
    const isNew = progress.step !== this.#progress.step;
    this.#progress = progress;
    if (isNew || process.stdout.isTTY) this.#show();
  };

  #show(): void {
    const { step, percent } = this.#progress;
    const progress = percent === undefined ? '' : `, ${Math.round(percent)} %`;
    const text = `${step}${progress} (${this.#elapsed} of about ${formatDuration(this.#expectedMs)})`;
    if (process.stdout.isTTY) this.#task.title = `${this.#title}: ${text}`;
    else this.#task.output = text;
  }

  end(result: 'done' | 'failed'): void {
    clearInterval(this.#timer);
    this.#task.title = `${this.#title}: ${result} after ${this.#elapsed}`;
  }
}

interface Stage {
  title: string;
  isNeeded: boolean;
  /** Expected duration: the last one on this machine, or the one measured elsewhere. */
  expectedMs: number;
  make: (options: StageOptions) => Promise<void>;
}

async function runStages(stages: Stage[], signal: AbortSignal): Promise<void> {
  if (!stages.some((stage) => stage.isNeeded)) {
    console.log(`Up to date: ${stages.map((stage) => stage.title).join(', ')}.`);
    return;
  }
  let failure: unknown;
  const tasks = stages.map(({ title, isNeeded, expectedMs, make }): ListrTask => ({
    title,
    skip: () => !isNeeded && (process.stdout.isTTY ? `${title}: up to date` : 'up to date'),
    task: async (_context, task) => {
      const display = new StageDisplay(task, title, expectedMs);
      try {
        await make({ signal, onProgress: display.update });
        display.end('done');
      } catch (error) {
        display.end('failed');
        failure = error;
        // The caller reports the whole error. Listr would report it as well, so it only gets a short message.
        throw new Error(process.stdout.isTTY ? task.title : 'see below');
      }
    },
    rendererOptions: { persistentOutput: true, outputBar: Infinity },
  }));
  try {
    await new Listr(tasks, {
      renderer: process.stdout.isTTY ? 'default' : 'simple',
      rendererOptions: { timestamp: PRESET_TIMESTAMP },
      // Listr must not handle Ctrl-C: a stage cleans up before the process ends.
      registerSignalListeners: false,
    }).run();
  } catch (error) {
    throw failure ?? error;
  }
}

/**
 * Makes the host image if it is missing, and shows progress on stdout.
 * @param root the checkout
 * @throws LabError `disk-full`, `build-failed`, `missing-tool` (root is needed), `cancelled`
 */
export async function prepareImage(config: Config, root: string, signal: AbortSignal): Promise<string> {
  let imageDir = await findImage(config, root);
  const stage = await imageStage(config, root, imageDir === undefined, (dir) => (imageDir = dir));
  await runStages([stage], signal);
  if (imageDir === undefined) throw new LabError('internal', 'Set-up ended without a host image.');
  return imageDir;
}

/**
 * Makes everything that is missing and shows progress on stdout; prints one line if nothing is missing.
 * @param root the checkout
 * @throws LabError `disk-full`, `build-failed`, `missing-tool` (root is needed), `cancelled`
 */
export async function prepareLab(
  config: Config,
  root: string,
  signal: AbortSignal,
  parts: LabParts = {},
): Promise<Lab> {
  let imageDir = await findImage(config, root);
  let template = imageDir === undefined ? undefined : await findTemplate(config, imageDir);
  let lessonTemplates =
    template === undefined ? undefined : await findLessonTemplates(config, root, template.dir, parts);
  const stages: Stage[] = [
    await imageStage(config, root, imageDir === undefined, (dir) => (imageDir = dir)),
    {
      title: 'Pair template',
      isNeeded: template === undefined,
      // 1 min measured on 2 cores under TCG.
      expectedMs: (await lastBuildMs(config.cacheDir, 'template')) ?? minuteMs,
      make: async (options) => {
        if (imageDir !== undefined) template = await ensureTemplate(config, imageDir, options);
      },
    },
    {
      title: 'Lesson templates',
      isNeeded: lessonTemplates === undefined,
      // 20 s measured for one on 2 cores under TCG, while another one was being made.
      expectedMs: lessonTemplates
        ? 0
        : ((await lessonsByBeginning(root, parts)).length * (minuteMs / 3)) / availableParallelism(),
      make: async (options) => {
        if (template !== undefined) {
          lessonTemplates = await ensureLessonTemplates(config, root, template.dir, { ...options, ...parts });
        }
      },
    },
    {
      title: siteTitle,
      isNeeded: !(await isSiteCurrent(root)),
      // 1 min measured on 2 cores.
      expectedMs: (await readSiteStamp(root))?.buildMs ?? minuteMs,
      make: (options) => makeSite(config, root, options),
    },
  ];
  if (parts.withoutSite) stages.pop();
  await runStages(stages, signal);
  if (imageDir === undefined || template === undefined || lessonTemplates === undefined) {
    throw new LabError('internal', 'Set-up ended without a template.');
  }
  return {
    imageDir,
    templateDir: template.dir,
    lessonTemplateDirs: lessonTemplates,
    accelerator: template.accelerator,
    acceleratorReason: template.acceleratorReason,
    versions: await readVersions(imageDir),
  };
}
