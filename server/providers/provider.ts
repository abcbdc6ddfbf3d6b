import type { Duplex } from 'node:stream';
import type { EndReason } from '../protocol/session';
import type { SandboxSpec } from '../store/sandboxes';

/** A sandbox whose runner is gone. */
export interface EndedSandbox {
  id: string;
  /** What the runner said when it ended by itself; undefined when it was killed. */
  reason: EndReason | undefined;
  /** The end of its log. */
  lastWords: string;
}

export interface SandboxList {
  running: SandboxSpec[];
  /** Found dead by this call, and removed by it: each is told once. */
  ended: EndedSandbox[];
}

/**
 * Where runners are placed. All four are safe to repeat: launching a sandbox that runs, or stopping one that is gone, does nothing.
 */
export interface SandboxProvider {
  /**
   * Starts a runner; resolves once it can be connected to.
   * @throws LabError `lost` when it did not start, `template-missing`, `cancelled` when the signal fired; nothing is left then
   */
  launch(spec: SandboxSpec, signal?: AbortSignal): Promise<void>;
  /** Opens a byte stream to the runner's socket. @throws LabError `lost` when there is no runner */
  connect(sandboxId: string): Promise<Duplex>;
  /** Ends the sandbox and resolves when nothing of it is left. */
  stop(sandboxId: string, reason: EndReason): Promise<void>;
  /** Sandboxes whose runner lives; what is left of others is removed. */
  list(): Promise<SandboxList>;
}
