/** Conditions for a server that is open to strangers. */
import { isLoopback, type Config } from '../config';
import { LabError } from '../protocol/errors';
import type { Accelerator } from '../protocol/session';
import type { IsolationReport } from '../providers/isolation';

export interface PublicModeFacts {
  config: Pick<Config, 'publicMode' | 'publicOrigin' | 'host'>;
  accelerator: Accelerator;
  /** Why KVM is not used; empty with KVM. */
  acceleratorReason: string;
  isolation: IsolationReport;
}

/** Lists everything that makes this server unsafe for strangers, one sentence each; empty when it is safe. */
export function publicModeProblems(facts: PublicModeFacts): string[] {
  const { config, isolation } = facts;
  const problems: string[] = [];
  if (facts.accelerator !== 'kvm') {
    // According to QEMU's documentation (system/security), only virtualization is a security boundary, emulation is not.
    problems.push(`Hosts run under TCG, which is not a security boundary. ${facts.acceleratorReason}`.trim());
  }
  problems.push(...isolation.missing.map(({ what }) => what));
  const isHttps = config.publicOrigin?.startsWith('https:') ?? false;
  if (!isHttps && !isLoopback(config.host)) {
    problems.push(
      `The site listens on ${config.host} without HTTPS: set publicOrigin to its https: address and put a TLS proxy in front of it, or listen on loopback.`,
    );
  }
  return problems;
}

/**
 * Refuses public mode where it is not safe.
 * @throws LabError `unsafe` listing every problem, when the configuration sets publicMode
 */
export function requireSafeForPublic(facts: PublicModeFacts): void {
  if (!facts.config.publicMode) return;
  const problems = publicModeProblems(facts);
  if (problems.length === 0) return;
  throw new LabError(
    'unsafe',
    `Public mode is not safe here:\n${problems.map((problem) => `- ${problem}`).join('\n')}`,
    {
      hint: 'Run npm run doctor for details, or set publicMode to false if only people you trust use the lab.',
    },
  );
}
