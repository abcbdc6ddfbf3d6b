/**
 * Leases on disk: `<stateDir>/leases/<sandbox id>.json` records the learner and the lesson that a sandbox is leased for, and until
 * when. Only the gateway writes leases. A sandbox without a lease belongs to nobody and waits in the pool.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import { hasErrno } from '../posix';
import { sessionInfoSchema, type SessionInfo } from '../protocol/session';

/** A learner's right to one sandbox. */
export const leaseSchema = sessionInfoSchema.extend({
  /** SHA-256 of the owner's cookie, hexadecimal. */
  ownerHash: z.string(),
  /** Network address of the learner who asked for it, as text. */
  address: z.string(),
  /**
   * The secret of the link that lets others watch the terminals; null when the owner has shared no link. It is not hashed, because the
   * owner can display the link again. Anyone who can read this file could connect to the runner anyway.
   */
  grant: z.string().nullable().default(null),
});
export type Lease = z.infer<typeof leaseSchema>;

/** The part of a lease that the learner may see. */
export const sessionInfo = (lease: Lease): SessionInfo => sessionInfoSchema.parse(lease);

const leasesDir = (stateDir: string): string => join(stateDir, 'leases');
const leaseFile = (stateDir: string, id: string): string => join(leasesDir(stateDir), `${id}.json`);

export async function writeLease(stateDir: string, lease: Lease): Promise<void> {
  await mkdir(leasesDir(stateDir), { recursive: true, mode: 0o700 });
  await writeFileAtomic(leaseFile(stateDir, lease.id), JSON.stringify(lease, null, 2), { mode: 0o600 });
}

export async function removeLease(stateDir: string, id: string): Promise<void> {
  await rm(leaseFile(stateDir, id), { force: true });
}

/** Lists all leases, and removes files that are no valid lease. */
export async function listLeases(stateDir: string): Promise<Lease[]> {
  const names = await readdir(leasesDir(stateDir)).catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const leases: Lease[] = [];
  for (const name of names) {
    const file = join(leasesDir(stateDir), name);
    try {
      leases.push(leaseSchema.parse(JSON.parse(await readFile(file, 'utf8'))));
    } catch {
      await rm(file, { force: true });
    }
  }
  return leases;
}
