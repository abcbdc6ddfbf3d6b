import { z } from 'zod';

/** The two sandbox hosts of a pair, in the order in which they are shown. */
export const hostNames = ['source', 'destination'] as const;
export type HostName = (typeof hostNames)[number];

/** The hosts' addresses on the private link; the same in every pair, because no two pairs ever meet. */
export const hostAddresses: Record<HostName, string> = {
  source: '10.77.0.1',
  destination: '10.77.0.2',
};

/**
 * CPUs that a host may have instead of the accelerator's own, by QEMU's names, oldest first: each has what those before it have.
 * TCG has all that makes them differ; under KVM a model has what of it the machine's own CPU has, and QEMU leaves out the rest.
 */
export const cpuModels = ['Nehalem', 'SandyBridge', 'Haswell'] as const;
type CpuModel = (typeof cpuModels)[number];
/** Hosts that have another CPU than the accelerator's own. */
export type CpuModels = Partial<Record<HostName, CpuModel | undefined>>;

export const hostNameSchema = z.enum(hostNames);
