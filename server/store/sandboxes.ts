/**
 * Sandboxes on disk: one directory `<stateDir>/sandboxes/<id>/` for each, with `sandbox.json`, written by the provider alone,
 * and `run/`, where everything is that its runner makes. The directory is the record: who removes it has ended the sandbox.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import { LabError } from '../protocol/errors';
import { acceleratorSchema } from '../protocol/session';

/** All that a runner needs to know before a session is assigned to it; never changed. Whose it is, is no part of it. */
const sandboxSpecSchema = z.object({
  id: z.string(),
  /** The template that its pair is cloned from, the base's or a lesson's. */
  templateDir: z.string(),
  lessonsDir: z.string(),
  accelerator: acceleratorSchema,
  idleTimeoutMs: z.number(),
  disconnectedTimeoutMs: z.number(),
  endWarningMs: z.number(),
  leaseMs: z.number(),
  scrollbackBytes: z.number(),
  maxTerminals: z.number(),
  savedStatesMiB: z.number(),
});
export type SandboxSpec = z.infer<typeof sandboxSpecSchema>;

const sandboxesDir = (stateDir: string): string => join(stateDir, 'sandboxes');
export const sandboxDir = (stateDir: string, id: string): string => join(sandboxesDir(stateDir), id);

/** Files of a sandbox's directory. Those of its hosts are in `run` (see hostFiles). */
export const sandboxFiles = (directory: string) => ({
  spec: join(directory, 'sandbox.json'),
  /** The user that it runs as, for /etc/passwd inside of it. */
  passwd: join(directory, 'passwd'),
  /** Directories of its control groups, as JSON. */
  cgroups: join(directory, 'cgroups.json'),
  /** All that it may write to; it may put anything there, see providers/untrusted.ts. */
  run: join(directory, 'run'),
  /** The runner's HTTP and WebSocket server. */
  socket: join(directory, 'run', 'runner.sock'),
  /** Lines of JSON, and whatever else its processes print. */
  log: join(directory, 'run', 'runner.log'),
  /** Why the runner ended by itself, as text; absent when it was killed. */
  ended: join(directory, 'run', 'ended'),
});

/** 40 random bits, 8 characters of base 36 at most: short, because it is part of socket paths, and nobody's key to anything. */
const sandboxIdLength = 8;

/**
 * The longest path of a Unix socket is 107 bytes (unix(7)); `destination.ctl` gets a 17-byte suffix by OpenSSH while it is made.
 * @throws LabError `bad-config` when a sandbox's sockets would not fit
 */
export function checkStateDir(stateDir: string): void {
  const { run } = sandboxFiles(sandboxDir(stateDir, 'x'.repeat(sandboxIdLength)));
  const longest = Buffer.byteLength(join(run, 'destination.ctl')) + 17;
  if (longest <= 107) return;
  throw new LabError(
    'bad-config',
    `stateDir ${stateDir} is ${longest - 107} bytes too long: a Unix socket's path holds 107 bytes.`,
    { hint: 'Set LAB_STATE_DIR to a shorter path.' },
  );
}

export async function writeSandbox(stateDir: string, spec: SandboxSpec): Promise<string> {
  const directory = sandboxDir(stateDir, spec.id);
  await mkdir(sandboxFiles(directory).run, { recursive: true, mode: 0o700 });
  await writeFileAtomic(sandboxFiles(directory).spec, JSON.stringify(spec, null, 2), { mode: 0o600 });
  return directory;
}

/** @throws LabError `lost` when the directory holds no readable sandbox */
export async function readSandbox(directory: string): Promise<SandboxSpec> {
  try {
    return sandboxSpecSchema.parse(JSON.parse(await readFile(sandboxFiles(directory).spec, 'utf8')));
  } catch (cause) {
    throw new LabError('lost', `The sandbox ${basename(directory)} cannot be read.`, { cause });
  }
}

/** Ids of all sandbox directories, whatever their state. */
export async function listSandboxIds(stateDir: string): Promise<string[]> {
  try {
    return await readdir(sandboxesDir(stateDir));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Directories of templates that sandboxes run from: these must stay in the cache. */
export async function templatesInUse(stateDir: string): Promise<Set<string>> {
  const used = new Set<string>();
  for (const id of await listSandboxIds(stateDir)) {
    const spec = await readSandbox(sandboxDir(stateDir, id)).catch(() => undefined);
    if (spec) used.add(spec.templateDir);
  }
  return used;
}

export async function removeSandbox(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
