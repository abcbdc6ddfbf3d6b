/**
 * Sessions on disk: one directory `<stateDir>/sessions/<id>/` for each, with `session.json` and everything else that the
 * session's runner makes. The directory is the record: who removes it has ended the session.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import { LabError } from '../protocol/errors';
import { sessionInfoSchema, type SessionInfo } from '../protocol/messages';

/** All that a runner needs to know; written before it starts and never changed. */
export const sessionSpecSchema = sessionInfoSchema.extend({
  /** SHA-256 of the owner's cookie, hexadecimal. */
  ownerHash: z.string(),
  lessonsDir: z.string(),
  templateDir: z.string(),
  idleTimeoutMs: z.number(),
  leaseMs: z.number(),
  scrollbackBytes: z.number(),
});
export type SessionSpec = z.infer<typeof sessionSpecSchema>;

/** What the session's own learner may see of the spec. */
export const sessionInfo = (spec: SessionSpec): SessionInfo => sessionInfoSchema.parse(spec);

const sessionsDir = (stateDir: string): string => join(stateDir, 'sessions');
export const sessionDir = (stateDir: string, id: string): string => join(sessionsDir(stateDir), id);

/** Files of a session's directory, beside those of its hosts (see hostFiles). */
export const sessionFiles = (directory: string) => ({
  spec: join(directory, 'session.json'),
  /** The runner's HTTP and WebSocket server. */
  socket: join(directory, 'runner.sock'),
  /** The runner's process id, as text. */
  pid: join(directory, 'runner.pid'),
  log: join(directory, 'runner.log'),
});

/**
 * The longest path of a Unix socket is 107 bytes (unix(7)); `destination.ctl` gets a 17-byte suffix by OpenSSH while it is made.
 * @throws LabError `bad-config` when a session's sockets would not fit
 */
export function checkStateDir(stateDir: string, idLength: number): void {
  const longest = Buffer.byteLength(join(sessionDir(stateDir, 'x'.repeat(idLength)), 'destination.ctl')) + 17;
  if (longest <= 107) return;
  throw new LabError(
    'bad-config',
    `stateDir ${stateDir} is ${longest - 107} bytes too long: a Unix socket's path holds 107 bytes.`,
    { hint: 'Set LAB_STATE_DIR to a shorter path.' },
  );
}

export async function writeSession(stateDir: string, spec: SessionSpec): Promise<string> {
  const directory = sessionDir(stateDir, spec.id);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomic(sessionFiles(directory).spec, JSON.stringify(spec, null, 2), { mode: 0o600 });
  return directory;
}

/** @throws LabError `lost` when the directory holds no readable session */
export async function readSession(directory: string): Promise<SessionSpec> {
  try {
    return sessionSpecSchema.parse(JSON.parse(await readFile(sessionFiles(directory).spec, 'utf8')));
  } catch (cause) {
    throw new LabError('lost', `The session in ${directory} cannot be read.`, { cause });
  }
}

/** Ids of all session directories, whatever their state. */
export async function listSessionIds(stateDir: string): Promise<string[]> {
  try {
    return await readdir(sessionsDir(stateDir));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Directories of templates that sessions run from: these must stay in the cache. */
export async function templatesInUse(stateDir: string): Promise<Set<string>> {
  const used = new Set<string>();
  for (const id of await listSessionIds(stateDir)) {
    const spec = await readSession(sessionDir(stateDir, id)).catch(() => undefined);
    if (spec) used.add(spec.templateDir);
  }
  return used;
}

export async function removeSession(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
