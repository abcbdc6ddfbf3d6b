/**
 * Sandboxes on disk. Each has a directory `<stateDir>/sandboxes/<id>/` with `sandbox.json`, which only the provider writes, and `run/`
 * for everything that the runner makes. The directory is the record of the sandbox: removing it ends the sandbox.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import { hasErrno } from '../posix';
import { LabError } from '../protocol/errors';
import { acceleratorSchema } from '../protocol/session';

/** Everything that a runner needs before a session is assigned to it. It never changes and does not name an owner. */
const sandboxSpecSchema = z.object({
  id: z.string(),
  /** The template that the pair is cloned from: the base template or a lesson's. */
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

/** Files in a sandbox's directory. The files of its hosts are in `run` (see hostFiles). */
export const sandboxFiles = (directory: string) => ({
  spec: join(directory, 'sandbox.json'),
  /** The user that the sandbox runs as, for /etc/passwd inside it. */
  passwd: join(directory, 'passwd'),
  /** Directories of its control groups, as JSON. */
  cgroups: join(directory, 'cgroups.json'),
  /** The only directory that the sandbox may write to. Treat its content as untrusted, see providers/untrusted.ts. */
  run: join(directory, 'run'),
  /** The runner's HTTP and WebSocket server. */
  socket: join(directory, 'run', 'runner.sock'),
  /** Lines of JSON, mixed with other output of its processes. */
  log: join(directory, 'run', 'runner.log'),
  /** Why the runner ended by itself, as text; absent when it was killed. */
  ended: join(directory, 'run', 'ended'),
});

/** 40 random bits, at most 8 characters of base 36. Short, because it is part of socket paths, and not secret. */
const sandboxIdLength = 8;

/**
 * Checks that the paths of Unix sockets fit into 107 bytes (unix(7)). The longest is `destination.ctl`, to which OpenSSH adds a
 * suffix of 17 bytes while it makes the socket.
 * @throws LabError `bad-config` when a sandbox's sockets would not fit
 */
export function checkStateDir(stateDir: string): void {
  const { run } = sandboxFiles(sandboxDir(stateDir, 'x'.repeat(sandboxIdLength)));
  const longest = Buffer.byteLength(join(run, 'destination.ctl')) + 17;
  if (longest <= 107) return;
  throw new LabError(
    'bad-config',
    `stateDir ${stateDir} is ${longest - 107} bytes too long: the path of a Unix socket holds only 107 bytes.`,
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
    throw new LabError('lost', `Cannot read the sandbox ${basename(directory)}.`, { cause });
  }
}

/** Lists the ids of all sandbox directories, in any state. */
export async function listSandboxIds(stateDir: string): Promise<string[]> {
  try {
    return await readdir(sandboxesDir(stateDir));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Directories of templates that sandboxes use: these must stay in the cache. */
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
