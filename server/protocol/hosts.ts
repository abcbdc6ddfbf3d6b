import { z } from 'zod';

/** The two hosts of a pair, in display order. */
export const hostNames = ['source', 'destination'] as const;
export type HostName = (typeof hostNames)[number];

/** The hosts' addresses on the private link. Every pair has the same ones, because pairs cannot reach each other. */
export const hostAddresses: Record<HostName, string> = {
  source: '10.77.0.1',
  destination: '10.77.0.2',
};

/**
 * CPU models that a host may have instead of the accelerator's own. QEMU's names, oldest first: each has the features of the models
 * before it. TCG emulates all their features; under KVM, QEMU leaves out the features that the machine's own CPU lacks.
 */
export const cpuModels = ['Nehalem', 'SandyBridge', 'Haswell'] as const;
type CpuModel = (typeof cpuModels)[number];
/** The hosts whose CPU differs from the accelerator's own. */
export type CpuModels = Partial<Record<HostName, CpuModel | undefined>>;

export const hostNameSchema = z.enum(hostNames);
