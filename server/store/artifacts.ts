/**
 * The artifact cache: directories that take long to make (host image, template). The key of each is a hash of its inputs.
 *
 *     <cacheDir>/<kind>/<key>/                a complete artifact with its artifact.json
 *     <cacheDir>/<kind>/<key>.partial-<pid>/  an artifact that process <pid> is making
 *
 * A directory gets its final name only when it is complete and on disk. The holder of the lock of that path owns the directory and
 * every partial of its key.
 */
import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import {
  access,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  stat,
  statfs,
} from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { z } from 'zod';
import { allocatedBytes, hasErrno } from '../posix';
import { LabError } from '../protocol/errors';
import { lockHolder, tryLock, type LockResult } from './lock';

const artifactKinds = ['host-image', 'template'] as const;
export type ArtifactKind = (typeof artifactKinds)[number];

/** Progress of slow work. */
export interface Progress {
  /** The current step. */
  step: string;
  /** Percentage of the whole work, 0 to 100, if known. */
  percent?: number;
  /** The step stays on screen after the work is over, for example that an artifact was damaged. */
  notice?: boolean;
}
export type OnProgress = (progress: Progress) => void;

const artifactSchema = z.object({
  kind: z.enum(artifactKinds),
  key: z.string(),
  /** Name for people. */
  label: z.string(),
  /** The inputs of the key, for people. */
  inputs: z.record(z.string(), z.string()),
  /** Unix milliseconds. */
  createdAtMs: z.number(),
  buildMs: z.number(),
  /** Size in bytes of each file, by its path within the artifact. */
  files: z.record(z.string(), z.number()),
});
type ArtifactInfo = z.infer<typeof artifactSchema>;

export interface ArtifactRequest {
  cacheDir: string;
  kind: ArtifactKind;
  /** Hash of all inputs that determine the content, see {@link hashInputs}. */
  key: string;
  /** Name for people, such as "Sandbox host image". */
  label: string;
  /** The inputs of the key, for people who read artifact.json. */
  inputs?: Record<string, string>;
  /** Most disk space that the build needs at any moment. */
  neededBytes: number;
  signal: AbortSignal;
  /** Fills `dir`, which exists and is empty. It must stop soon after `signal` is aborted. */
  build: (dir: string, report: OnProgress) => Promise<void>;
  onProgress: OnProgress;
}

const infoName = 'artifact.json';
const lockPollMs = 500;

/** Sizes of all files below `dir`, except artifact.json, by relative path. */
async function fileSizes(dir: string): Promise<Record<string, number>> {
  const sizes: [string, number][] = [];
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(dir, path);
    if (!entry.isDirectory() && name !== infoName) sizes.push([name, (await lstat(path)).size]);
  }
  return Object.fromEntries(sizes.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const unusable = (dir: string, cause: unknown): LabError =>
  new LabError('bad-config', `Cannot use the cache directory ${dir}: ${String(cause)}`, {
    hint: 'Set LAB_CACHE_DIR to a writable directory.',
    cause,
  });

/** Reads the artifact in `dir`, or tells why it cannot be used. */
async function inspect(
  dir: string,
): Promise<{ state: 'whole'; info: ArtifactInfo } | { state: 'absent' } | { state: 'damaged'; why: string }> {
  try {
    await lstat(dir);
  } catch (error) {
    if (hasErrno(error, 'ENOENT') || hasErrno(error, 'ENOTDIR')) return { state: 'absent' };
    throw unusable(dir, error);
  }
  let info: ArtifactInfo;
  try {
    info = artifactSchema.parse(JSON.parse(await readFile(join(dir, infoName), 'utf8')));
  } catch {
    return { state: 'damaged', why: `its ${infoName} is missing or not valid` };
  }
  for (const [name, size] of Object.entries(info.files)) {
    const found = await lstat(join(dir, name)).catch(() => undefined);
    if (!found) return { state: 'damaged', why: `its file ${name} is missing` };
    if (found.size !== size) {
      return { state: 'damaged', why: `its file ${name} has ${found.size} bytes instead of ${size}` };
    }
  }
  return { state: 'whole', info };
}

/** Removes a tree. Unlike fs.rm it never enters a mount that a killed build left in it. */
async function removeTree(dir: string): Promise<void> {
  try {
    await execa('rm', ['-rf', '--one-file-system', '--', dir]);
  } catch (cause) {
    throw new LabError('internal', `Cannot remove ${dir}.`, {
      hint: 'A file system may still be mounted in it: find it with findmnt, unmount it and try again.',
      cause,
    });
  }
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const spaceHint =
  'Free some space (`npm run lab -- cache prune` removes old artifacts), or set LAB_CACHE_DIR to a directory with more space.';

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/**
 * Returns the bytes that this user can still write to the file system of `dir`.
 * @param dir may not exist yet
 */
export async function availableBytes(dir: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(dir);
    return bavail * bsize;
  } catch (error) {
    if (hasErrno(error, 'ENOENT') && dirname(dir) !== dir) return availableBytes(dirname(dir));
    throw error;
  }
}

/** @throws LabError `disk-full` when the file system of `dir` has less than `neededBytes` free */
export async function requireSpace(dir: string, neededBytes: number, what: string): Promise<void> {
  const available = await availableBytes(dir);
  if (available >= neededBytes) return;
  throw new LabError(
    'disk-full',
    `${what} needs ${gigabytes(neededBytes)} free in ${dir}, which has ${gigabytes(available)}.`,
    { hint: spaceHint },
  );
}

/** @throws LabError `disk-full` or `bad-config` when the directory cannot be made */
async function requireWritable(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true });
    await access(dir, constants.W_OK);
  } catch (cause) {
    if (hasErrno(cause, 'ENOSPC')) {
      throw new LabError('disk-full', `The disk that would hold ${dir} is full.`, { hint: spaceHint, cause });
    }
    throw unusable(dir, cause);
  }
}

/** The key of a partial, or undefined for other entries. A build may keep working directories beside its partial: they count as partials. */
const partialKey = (name: string): string | undefined => /^(.+?)\.partial-\d+/.exec(name)?.[1];

/** Removes what killed builds left in this kind's directory. */
async function removeStalePartials(kindDir: string, ownKey: string): Promise<void> {
  for (const name of await readdir(kindDir)) {
    const key = partialKey(name);
    if (key === undefined) continue;
    if (key === ownKey || !(await lockHolder(join(kindDir, key)))) {
      await removeTree(join(kindDir, name));
    }
  }
}

const cancelled = (label: string): LabError =>
  new LabError('cancelled', `${label}: cancelled; nothing was kept.`);

/**
 * Returns the directory of an artifact. Makes the artifact first if it is absent or damaged; waits if another process is making
 * it.
 * @throws LabError `disk-full`, `cancelled`, or what `build` throws (wrapped as `build-failed`)
 */
export async function ensureArtifact(request: ArtifactRequest): Promise<string> {
  const { cacheDir, kind, key, label, signal, onProgress } = request;
  const kindDir = join(cacheDir, kind);
  const dir = join(kindDir, key);
  if ((await inspect(dir)).state === 'whole') return dir;

  let lock: LockResult;
  for (let waitedMs = 0; ; waitedMs += lockPollMs) {
    if (signal.aborted) throw cancelled(label);
    lock = await tryLock(dir, () => label);
    if (lock.isHeld) break;
    if (waitedMs % 10_000 === 0) {
      onProgress({ step: `waiting for process ${lock.holder.pid}, which is building it` });
    }
    await delay(lockPollMs, undefined, { signal }).catch(() => undefined);
  }
  try {
    const found = await inspect(dir);
    if (found.state === 'whole') return dir;
    if (found.state === 'damaged') {
      onProgress({ step: `${label}: ${dir} is damaged: ${found.why}. Making it again.`, notice: true });
      await removeTree(dir);
    }
    await requireWritable(kindDir);
    await removeStalePartials(kindDir, key);
    await requireSpace(cacheDir, request.neededBytes, label);
    await make(request, dir);
    return dir;
  } finally {
    await lock.release();
  }
}

async function make(request: ArtifactRequest, dir: string): Promise<void> {
  const { kind, key, label, signal, onProgress } = request;
  const partial = `${dir}.partial-${process.pid}`;
  const startedAt = Date.now();
  await mkdir(partial);
  try {
    await request.build(partial, onProgress);
    if (signal.aborted) throw cancelled(label);
    const files = await fileSizes(partial);
    for (const name of Object.keys(files)) {
      const path = join(partial, name);
      if ((await lstat(path)).isFile()) await syncPath(path);
    }
    const info: ArtifactInfo = {
      kind,
      key,
      label,
      inputs: request.inputs ?? {},
      createdAtMs: Date.now(),
      buildMs: Date.now() - startedAt,
      files,
    };
    const handle = await open(join(partial, infoName), 'w');
    try {
      await handle.writeFile(`${JSON.stringify(info, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncPath(partial);
    const { uid, gid } = await stat(request.cacheDir);
    // Root makes artifacts in a user's cache with sudo. They must belong to the user, including the hosts' private key.
    if (process.getuid?.() === 0 && uid !== 0) {
      await chown(dirname(dir), uid, gid);
      await execa('chown', ['-R', `${uid}:${gid}`, partial]);
    }
    await rename(partial, dir);
    await syncPath(dirname(dir));
  } catch (cause) {
    // Measured before removeTree frees the space again.
    const available = await availableBytes(dirname(dir));
    await removeTree(partial);
    if (signal.aborted) throw cancelled(label);
    // A recipe may have freed the space that it filled. Then the end of its output shows the cause (strerror(3)).
    const reportedFull = hasErrno(cause, 'ENOSPC') || /No space left on device/.test(String(cause));
    // Every build step writes more than 16 MiB at once, so with less free space any failure is a lack of space.
    if (reportedFull || available < 16 * 1024 * 1024) {
      throw new LabError('disk-full', `${label}: the disk of ${dirname(dir)} became full.`, {
        hint: spaceHint,
        cause,
      });
    }
    if (cause instanceof LabError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LabError('build-failed', `${label}: ${reason}`, { cause });
  }
}

/** An entry of the cache, complete or not. */
export interface CacheEntry {
  kind: ArtifactKind;
  key: string;
  dir: string;
  /** Bytes that it occupies on disk: fewer than its files' sizes when they have holes. */
  bytes: number;
  /** Null when the artifact is damaged or incomplete. */
  info: ArtifactInfo | null;
}

async function occupiedBytes(dir: string): Promise<number> {
  let bytes = 0;
  // A concurrent build may remove files meanwhile; those occupy nothing.
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  });
  for (const entry of entries) {
    const found = await lstat(join(entry.parentPath, entry.name)).catch(() => undefined);
    if (found) bytes += allocatedBytes(found);
  }
  return bytes;
}

/** Lists everything in the cache, newest first, including partials of builds. */
export async function listArtifacts(cacheDir: string): Promise<CacheEntry[]> {
  const entries: CacheEntry[] = [];
  for (const kind of artifactKinds) {
    const kindDir = join(cacheDir, kind);
    const names = await readdir(kindDir).catch((error: unknown) => {
      if (hasErrno(error, 'ENOENT') || hasErrno(error, 'ENOTDIR')) return [];
      throw unusable(kindDir, error);
    });
    for (const name of names) {
      const dir = join(kindDir, name);
      const found = await inspect(dir);
      const info = found.state === 'whole' ? found.info : null;
      entries.push({ kind, key: name, dir, bytes: await occupiedBytes(dir), info });
    }
  }
  return entries.sort((a, b) => (b.info?.createdAtMs ?? 0) - (a.info?.createdAtMs ?? 0));
}

/**
 * Removes every artifact that is not in `keep`, and what killed builds left. Artifacts that another process is making stay.
 * @param keep directories of artifacts: the current ones and those that sessions use
 * @returns the removed entries
 */
export async function pruneArtifacts(cacheDir: string, keep: ReadonlySet<string>): Promise<CacheEntry[]> {
  const removed: CacheEntry[] = [];
  for (const entry of await listArtifacts(cacheDir)) {
    if (keep.has(entry.dir)) continue;
    const key = partialKey(entry.key) ?? entry.key;
    const lock = await tryLock(join(dirname(entry.dir), key), () => `pruning ${key}`);
    if (!lock.isHeld) continue;
    try {
      await removeTree(entry.dir);
      removed.push(entry);
    } finally {
      await lock.release();
    }
  }
  return removed;
}

/** Returns the directory of the complete artifact of this kind and key, or undefined. */
export async function findArtifact(
  cacheDir: string,
  kind: ArtifactKind,
  key: string,
): Promise<string | undefined> {
  const dir = join(cacheDir, kind, key);
  return (await inspect(dir)).state === 'whole' ? dir : undefined;
}

/** Returns how long the newest artifact of this kind took to make, or undefined when there is none. */
export async function lastBuildMs(cacheDir: string, kind: ArtifactKind): Promise<number | undefined> {
  return (await listArtifacts(cacheDir)).find((entry) => entry.kind === kind && entry.info)?.info?.buildMs;
}

/**
 * Returns a key for an artifact that is made from these files: 16 hexadecimal digits of a SHA-256 over their names, modes and contents.
 * The key does not depend on the checkout's location or the umask: a name begins with the path's last component, and of the mode only
 * the executable bit counts, as in Git. Documentation (*.md) and tests (*.test.*) do not affect the result, so they do not count.
 * @param paths files and directories
 * @param extra other inputs that affect the result, such as a tool's version
 * @throws an ENOENT error when a path does not exist
 */
export async function hashInputs(paths: readonly string[], extra: readonly string[] = []): Promise<string> {
  const hash = createHash('sha256');
  const addText = (text: string) => hash.update(`${Buffer.byteLength(text)}:${text}`);
  const add = async (path: string, name: string): Promise<void> => {
    const stats = await lstat(path);
    if (stats.isDirectory()) {
      const children = (await readdir(path)).filter((child) => !/\.md$|\.test\.\w+$/.test(child));
      for (const child of children.sort()) await add(join(path, child), `${name}/${child}`);
    } else if (stats.isSymbolicLink()) {
      addText(`link ${name}`);
      addText(await readlink(path));
    } else {
      addText(`${stats.mode & 0o111 ? 'executable' : 'file'} ${name} ${stats.size}`);
      for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    }
  };
  for (const path of paths) await add(path, basename(path));
  for (const text of extra) addText(`extra ${text}`);
  return hash.digest('hex').slice(0, 16);
}
