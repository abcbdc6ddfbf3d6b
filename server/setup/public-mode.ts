/** What must hold before strangers may be let in. */
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

/** Everything that makes this server unsafe for strangers, one sentence each; empty when nothing does. */
export function publicModeProblems(facts: PublicModeFacts): string[] {
  const { config, isolation } = facts;
  const problems: string[] = [];
  if (facts.accelerator !== 'kvm') {
    // QEMU's own documentation (system/security) says so: only virtualization, not emulation, is held to be a boundary.
    problems.push(`Hosts run under TCG, which is no security boundary. ${facts.acceleratorReason}`.trim());
  }
  problems.push(...isolation.missing.map(({ what }) => what));
  const isHttps = config.publicOrigin?.startsWith('https:') ?? false;
  if (!isHttps && !isLoopback(config.host)) {
    problems.push(
      `The site listens on ${config.host} without HTTPS: set publicOrigin to its https: address and let a proxy before it speak TLS, or listen on loopback.`,
    );
  }
  return problems;
}

/**
 * Called by `start` when all facts are known.
 * @throws LabError `unsafe` naming everything at once, when the configuration asks for public mode
 */
export function requireSafeForPublic(facts: PublicModeFacts): void {
  if (!facts.config.publicMode) return;
  const problems = publicModeProblems(facts);
  if (problems.length === 0) return;
  throw new LabError(
    'unsafe',
    `Public mode is not safe here:\n${problems.map((problem) => `- ${problem}`).join('\n')}`,
    { hint: 'npm run doctor tells more. Without strangers, set publicMode to false.' },
  );
}
