import type { Duplex } from 'node:stream';
import type { EndReason } from '../protocol/messages';
import type { SessionSpec } from '../store/sessions';

/**
 * Where runners are placed. All four are safe to repeat: launching a session that runs, or stopping one that is gone, does nothing.
 */
export interface SandboxProvider {
  /** Starts a runner for the session; resolves once it can be connected to. @throws LabError `lost` */
  launch(spec: SessionSpec): Promise<void>;
  /** Opens a byte stream to the runner's socket. @throws LabError `lost` when there is no runner */
  connect(sessionId: string): Promise<Duplex>;
  /** Ends the session and resolves when nothing of it is left. */
  stop(sessionId: string, reason: EndReason): Promise<void>;
  /** Sessions whose runner lives; what is left of others is removed. */
  list(): Promise<SessionSpec[]>;
}
