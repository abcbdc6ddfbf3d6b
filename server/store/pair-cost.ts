/** Remembers how much memory pairs have used on this machine, so a restarted server need not assume the worst case. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';

const pairCostSchema = z.object({
  /** The template's directory: pairs of another template use other amounts. */
  templateDir: z.string(),
  /** Peak private memory of each pair that a learner used, in bytes, oldest first. */
  peakBytes: z.array(z.number().nonnegative()),
});

const pairCostFile = (stateDir: string): string => join(stateDir, 'pair-cost.json');

/** Reads the peaks of this template's pairs; returns none when the file has none. */
export async function readPairPeaks(stateDir: string, templateDir: string): Promise<number[]> {
  try {
    const cost = pairCostSchema.parse(JSON.parse(await readFile(pairCostFile(stateDir), 'utf8')));
    return cost.templateDir === templateDir ? cost.peakBytes : [];
  } catch {
    return [];
  }
}

export async function writePairPeaks(
  stateDir: string,
  templateDir: string,
  peakBytes: readonly number[],
): Promise<void> {
  await mkdir(stateDir, { recursive: true });
  await writeFileAtomic(pairCostFile(stateDir), JSON.stringify({ templateDir, peakBytes }));
}
