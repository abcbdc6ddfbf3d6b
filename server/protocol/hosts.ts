/** The two sandbox hosts of a pair, in the order in which they are shown. */
export const hostNames = ['source', 'destination'] as const;
export type HostName = (typeof hostNames)[number];

/** The hosts' addresses on the private link; the same in every pair, because no two pairs ever meet. */
export const hostAddresses: Record<HostName, string> = {
  source: '10.77.0.1',
  destination: '10.77.0.2',
};
