import type { Duplex } from 'node:stream';
import type { EndReason } from '../protocol/session';
import type { SandboxSpec } from '../store/sandboxes';

/** A sandbox whose runner is gone. */
export interface EndedSandbox {
  id: string;
  /** The reason that the runner gave when it ended by itself; undefined when it was killed. */
  reason: EndReason | undefined;
  /** The end of its log, or why the provider killed it. */
  lastWords: string;
}

export interface SandboxList {
  running: SandboxSpec[];
  /** Sandboxes that this call found dead and removed: each is reported once. */
  ended: EndedSandbox[];
}

/**
 * Runs runners somewhere. All four methods are safe to repeat: launching a running sandbox or stopping one that is gone does nothing.
 */
export interface SandboxProvider {
  /**
   * Starts a runner and resolves once it accepts connections.
   * @throws LabError `lost` when it does not start, `template-missing`, `cancelled` when the signal fires; then nothing is left
   */
  launch(spec: SandboxSpec, signal?: AbortSignal): Promise<void>;
  /** Opens a byte stream to the runner's socket. @throws LabError `lost` when there is no runner */
  connect(sandboxId: string): Promise<Duplex>;
  /** Ends the sandbox and resolves when nothing of it is left. */
  stop(sandboxId: string, reason: EndReason): Promise<void>;
  /** Lists sandboxes whose runner lives, and removes what is left of others. */
  list(): Promise<SandboxList>;
}
