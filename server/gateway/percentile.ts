/**
 * Returns the smallest sample such that at least this share of the samples is no larger (nearest rank).
 * @param share from 0 to 1
 * @returns undefined for no samples
 */
export function percentile(samples: readonly number[], share: number): number | undefined {
  return samples.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(samples.length * share) - 1)];
}
