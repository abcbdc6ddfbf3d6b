/** The saved states that a learner can rewind to: one for each step that began, the newest within a limit of disk. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Step } from '../../lessons/lesson';
import type { SavedState as SavedStateInfo } from '../../protocol/session';
import type { Pair } from '../pair';
import type { SavedPair } from './saved-pair';

/** The pair as it was when a step began, and the values that were known then. */
export interface SavedState extends SavedStateInfo {
  pair: SavedPair;
  values: Readonly<Record<string, string>>;
}

export class SavedStates {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #log: Logger;
  #states: SavedState[] = [];
  #saving: Promise<void> = Promise.resolve();
  #count = 0;

  /**
   * @param directory saved states go below it
   * @param maxBytes of all of them together; the oldest make room. 0 keeps none.
   */
  constructor(directory: string, maxBytes: number, log: Logger) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#log = log;
  }

  /** As messages carry them. */
  get infos(): SavedStateInfo[] {
    return this.#states.map(({ stepId, savedAtMs }) => ({ stepId, savedAtMs }));
  }

  find(stepId: string): SavedState | undefined {
    return this.#states.find((state) => state.stepId === stepId);
  }

  /**
   * Saves the pair's present state, after the saves that were asked for before. A save that fails costs the learner nothing else.
   * @param tooLate asked when the saves before it are done: whether this is no longer the state in which the step begins
   */
  save(
    stepId: string,
    pair: Pair,
    values: Readonly<Record<string, string>>,
    tooLate: () => boolean,
  ): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      if (this.#maxBytes === 0 || this.find(stepId)) return;
      if (tooLate()) {
        this.#log.info({ step: stepId }, 'state not saved: its step has begun');
        return;
      }
      const savedAtMs = Date.now();
      try {
        const saved = await pair.save(join(this.#directory, `saved-${this.#count++}`));
        this.#states.push({ stepId, savedAtMs, pair: saved, values });
        this.#log.info({ step: stepId, bytes: saved.bytes, ms: Date.now() - savedAtMs }, 'state saved');
        await this.#keepWithinLimit();
      } catch (error) {
        this.#log.warn({ err: error, step: stepId }, 'state not saved');
      }
    });
    return this.#saving;
  }

  /** Resolves when nothing is being saved. */
  settled(): Promise<void> {
    return this.#saving;
  }

  /** Removes the states in which these steps began: after a rewind to an earlier step they belong to a past that is undone. */
  forget(steps: readonly Step[]): void {
    const removed = this.#states.filter(({ stepId }) => steps.some((step) => step.id === stepId));
    this.#states = this.#states.filter((state) => !removed.includes(state));
    this.#saving = this.#saving.then(() => this.#remove(removed));
  }

  async #keepWithinLimit(): Promise<void> {
    let bytes = this.#states.reduce((sum, state) => sum + state.pair.bytes, 0);
    const dropped: SavedState[] = [];
    while (bytes > this.#maxBytes) {
      const oldest = this.#states.shift();
      if (!oldest) break;
      bytes -= oldest.pair.bytes;
      dropped.push(oldest);
    }
    await this.#remove(dropped);
  }

  async #remove(states: readonly SavedState[]): Promise<void> {
    for (const state of states) {
      await state.pair.remove().catch((error: unknown) => {
        this.#log.warn({ err: error, step: state.stepId }, 'saved state not removed');
      });
    }
  }
}
