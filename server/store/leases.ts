/**
 * Leases on disk: `<stateDir>/leases/<sandbox id>.json` says whose sandbox it is, for which lesson and until when. Only the
 * gateway writes them. A sandbox without a lease is nobody's: it waits in the pool.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import { sessionInfoSchema, type SessionInfo } from '../protocol/session';

/** A learner's right to one sandbox. */
const leaseSchema = sessionInfoSchema.extend({
  /** SHA-256 of the owner's cookie, hexadecimal. */
  ownerHash: z.string(),
  /** Network address that asked for it, as text. */
  address: z.string(),
  /**
   * Whoever has this may watch the terminals; null when the owner has given no such link. Not hashed, because the owner is told
   * it again; who can read this file could as well connect to the runner.
   */
  grant: z.string().nullable().default(null),
});
export type Lease = z.infer<typeof leaseSchema>;

/** What the learner may see of it. */
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

/** All leases; a file that is no lease is not one, and is removed. */
export async function listLeases(stateDir: string): Promise<Lease[]> {
  const names = await readdir(leasesDir(stateDir)).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
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
