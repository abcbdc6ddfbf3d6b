/** Sandboxes that belong to no session yet: their pairs are cloned ahead of the learners who will want them. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { LabError } from '../protocol/errors';
import type { SandboxProvider } from '../providers/provider';
import type { SandboxSpec } from '../store/sandboxes';
import type { Metrics } from './metrics';
import { runnerStatus } from './runner-client';

const newSandboxId = (): string => BigInt(`0x${randomBytes(5).toString('hex')}`).toString(36);

/** How often a pair that is being made is asked whether it is ready. */
const pollMs = 100;
/** Under TCG with every processor busy a pair took 12 s; one that takes this long never comes. */
const readyTimeoutMs = 180_000;
/** Arrivals within this time decide how many pairs are made ahead: about as long as a dozen starts take under TCG. */
const arrivalsMs = 60_000;
/** After failures the pool waits before it tries again, doubling up to this. */
const maxBackoffMs = 60_000;

interface PooledSandbox {
  spec: SandboxSpec;
  isReady: boolean;
  /** Settles when its runner can be connected to, or never will be. */
  launched: Promise<void>;
}

/** What a pool needs to know of everything else. */
export interface PoolOptions {
  /** Everything of a sandbox's spec but its id, for pairs of a template. */
  template: (templateDir: string) => Omit<SandboxSpec, 'id'>;
  /** The template of lessons without a set-up of their own, for which pairs are kept ready. */
  baseTemplateDir: string;
  /** Pairs to keep ready at any time. */
  size: number;
  /** Learners announced that have no pair yet. */
  expected: () => number;
  /** Whether the machine holds one pair more. */
  hasRoom: () => Promise<boolean>;
}

export class Pool {
  readonly #provider: SandboxProvider;
  readonly #options: PoolOptions;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #sandboxes = new Map<string, PooledSandbox>();
  readonly #arrivals: number[] = [];
  #filling: Promise<void> | undefined;
  readonly #closing = new AbortController();
  #failures = 0;
  #retryAtMs = 0;

  constructor(provider: SandboxProvider, options: PoolOptions, metrics: Metrics, log: Logger) {
    this.#provider = provider;
    this.#options = options;
    this.#metrics = metrics;
    this.#log = log;
  }

  /** Sandboxes in the pool, those included that are being made. */
  get size(): number {
    return this.#sandboxes.size;
  }

  get readyCount(): number {
    return [...this.#sandboxes.values()].filter(({ isReady }) => isReady).length;
  }

  has(sandboxId: string): boolean {
    return this.#sandboxes.has(sandboxId);
  }

  /** Takes in a sandbox that outlived the last server. */
  adopt(spec: SandboxSpec): void {
    this.#sandboxes.set(spec.id, { spec, isReady: true, launched: Promise.resolve() });
  }

  /** A sandbox is gone. */
  forget(sandboxId: string): void {
    this.#sandboxes.delete(sandboxId);
  }

  /**
   * Hands over a sandbox of this template: a ready one, else one that is being made, else a new one. It is the caller's then.
   * @throws LabError as the provider's launch does
   */
  async take(templateDir: string): Promise<{ spec: SandboxSpec; wasReady: boolean }> {
    const now = Date.now();
    this.#arrivals.push(now);
    while ((this.#arrivals[0] ?? now) < now - arrivalsMs) this.#arrivals.shift();
    const candidates = [...this.#sandboxes.values()].filter(({ spec }) => spec.templateDir === templateDir);
    const found = candidates.find(({ isReady }) => isReady) ?? candidates[0];
    if (found) {
      this.#sandboxes.delete(found.spec.id);
      await found.launched;
      return { spec: found.spec, wasReady: found.isReady };
    }
    const spec = this.#newSpec(templateDir);
    await this.#provider.launch(spec, this.#closing.signal);
    return { spec, wasReady: false };
  }

  /** Makes pairs until there are as many as wanted, one after the other, so that they do not starve pairs in use. */
  fill(): void {
    this.#filling ??= this.#fillUp()
      .catch((error: unknown) => {
        this.#log.error({ err: error }, 'the pool could not be filled');
      })
      .finally(() => {
        this.#filling = undefined;
      });
  }

  /** Gives one sandbox of the pool back to the machine. @returns whether there was one */
  async shrink(): Promise<boolean> {
    const [first] = this.#sandboxes.keys();
    if (first === undefined) return false;
    this.#sandboxes.delete(first);
    await this.#provider.stop(first, 'server-stopped');
    return true;
  }

  /** Stops filling. @param keep leaves the sandboxes to the next server instead of ending them */
  async close(keep: boolean): Promise<void> {
    this.#closing.abort();
    await this.#filling;
    if (keep) return;
    await Promise.all([...this.#sandboxes.keys()].map((id) => this.#provider.stop(id, 'server-stopped')));
    this.#sandboxes.clear();
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** How many sandboxes should wait: the configured size, as many as learners came in the last minute, or as many as are announced. */
  #wanted(): number {
    const recent = this.#arrivals.filter((atMs) => atMs > Date.now() - arrivalsMs).length;
    return Math.max(this.#options.size, this.#options.size === 0 ? 0 : recent, this.#options.expected());
  }

  async #fillUp(): Promise<void> {
    while (
      !this.#isClosed() &&
      Date.now() >= this.#retryAtMs &&
      this.size < this.#wanted() &&
      (await this.#options.hasRoom())
    ) {
      const spec = this.#newSpec(this.#options.baseTemplateDir);
      const launched = this.#provider.launch(spec, this.#closing.signal);
      const pooled: PooledSandbox = { spec, isReady: false, launched };
      this.#sandboxes.set(spec.id, pooled);
      try {
        await launched;
        await this.#untilReady(spec.id);
        pooled.isReady = true;
        this.#failures = 0;
      } catch (error) {
        if (this.#isClosed()) return;
        // A session took it while it was made, and its learner sees the failure.
        if (!this.#sandboxes.delete(spec.id)) continue;
        const failure = LabError.from(error, 'Making a pair for the pool');
        this.#metrics.failures.inc({ code: failure.code });
        this.#log.warn({ err: failure, sandbox: spec.id }, 'no pair for the pool');
        this.#retryAtMs = Date.now() + Math.min(maxBackoffMs, 1000 * 2 ** this.#failures++);
        await this.#provider.stop(spec.id, 'host-lost');
      }
    }
  }

  async #untilReady(sandboxId: string): Promise<void> {
    const deadline = Date.now() + readyTimeoutMs;
    while (this.#sandboxes.has(sandboxId)) {
      const { phase, readyMs } = await runnerStatus(this.#provider, sandboxId);
      if (readyMs !== null) {
        this.#metrics.cloneSeconds.observe(readyMs / 1000);
        return;
      }
      if (phase === 'failed' || phase === 'ended') throw new LabError('lost', 'A new pair did not start.');
      if (Date.now() > deadline)
        throw new LabError('lost', `A new pair was not ready in ${readyTimeoutMs} ms.`);
      await sleep(pollMs, undefined, { signal: this.#closing.signal });
    }
  }

  #newSpec(templateDir: string): SandboxSpec {
    return { id: newSandboxId(), ...this.#options.template(templateDir) };
  }
}
