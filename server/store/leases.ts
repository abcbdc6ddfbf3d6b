/**
 * Leases on disk: `<stateDir>/leases/<session id>.json` says whose session it is, for which lesson, until when, and which sandbox
 * it has. Only the gateway writes them. A sandbox without a lease is nobody's: it waits in the pool.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import { hasErrno } from '../posix';
import { sessionInfoSchema, type SessionInfo } from '../protocol/session';

/** A learner's right to one sandbox at a time. Its `id` is the session's, and stays when the sandbox is replaced. */
const leaseSchema = sessionInfoSchema.extend({
  /** The sandbox that the session has; null while the old one is gone and the new one is not there yet. */
  sandboxId: z.string().nullable(),
  /** SHA-256 of the owner's cookie, hexadecimal. */
  ownerHash: z.string(),
  /** Network address that asked for the session, as text. */
  address: z.string(),
  /**
   * A key that lets everyone who has it watch the terminals; null when the owner has made none. It is not hashed, because the
   * owner is shown it again. A program that can read this file can connect to the runner anyway.
   */
  grant: z.string().nullable().default(null),
});
export type Lease = z.infer<typeof leaseSchema>;

/** What the learner may see of a lease. */
export const sessionInfo = (lease: Lease): SessionInfo => sessionInfoSchema.parse(lease);

/** Where leases outlive the gateway. */
export interface LeaseStore {
  /** All leases; a file that holds none is removed. */
  list(): Promise<Lease[]>;
  write(lease: Lease): Promise<void>;
  remove(sessionId: string): Promise<void>;
}

/** Session ids that are safe as file names. */
const namePattern = /^[\w-]+\.json$/;

/**
 * Reads a lease as this version or an earlier one wrote it. Earlier versions named the session after its sandbox and wrote no
 * `sandboxId`.
 * @throws ZodError, SyntaxError when the text is no lease
 */
function parseLease(text: string): Lease {
  const value: unknown = JSON.parse(text);
  const isOld = typeof value === 'object' && value !== null && 'id' in value && !('sandboxId' in value);
  return leaseSchema.parse(isOld ? { ...value, sandboxId: value.id } : value);
}

/** The leases below a state directory. */
export function leaseDirectory(stateDir: string): LeaseStore {
  const directory = join(stateDir, 'leases');
  const fileOf = (sessionId: string): string => join(directory, `${sessionId}.json`);
  return {
    async list() {
      const names = await readdir(directory).catch((error: unknown) => {
        if (hasErrno(error, 'ENOENT')) return [];
        throw error;
      });
      const leases: Lease[] = [];
      for (const name of names) {
        const file = join(directory, name);
        try {
          const lease = parseLease(await readFile(file, 'utf8'));
          if (!namePattern.test(name) || fileOf(lease.id) !== file) throw new Error('not its own file');
          leases.push(lease);
        } catch {
          await rm(file, { force: true });
        }
      }
      return leases;
    },
    async write(lease) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await writeFileAtomic(fileOf(lease.id), JSON.stringify(lease, null, 2), { mode: 0o600 });
    },
    async remove(sessionId) {
      await rm(fileOf(sessionId), { force: true });
    },
  };
}
