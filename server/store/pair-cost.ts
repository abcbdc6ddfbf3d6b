/** What pairs have cost on this machine, remembered so that a server that starts anew need not assume the worst. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';

const pairCostSchema = z.object({
  /** The template's directory: pairs of another one cost something else. */
  templateDir: z.string(),
  /** Most private memory of each pair that a learner had, in bytes, oldest first. */
  peakBytes: z.array(z.number().nonnegative()),
});

const pairCostFile = (stateDir: string): string => join(stateDir, 'pair-cost.json');

/** Peaks of this template's pairs; none when nothing was remembered. */
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
