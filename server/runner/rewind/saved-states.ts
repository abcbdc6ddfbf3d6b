/** The states of the pair that a learner can go back to: one for each step that began, the newest within a limit of disk. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Step } from '../../lessons/lesson';
import type { SavedState } from '../../protocol/session';
import type { Pair } from '../pair';
import type { SavedPair } from './saved-pair';

/** A saved state, and what the page knew then. */
interface Chapter {
  /** The step that begins from it. */
  stepId: string;
  savedAtMs: number;
  pair: SavedPair;
  values: Readonly<Record<string, string>>;
}

export class History {
  private chapters: Chapter[] = [];
  private saving: Promise<void> = Promise.resolve();
  private count = 0;

  /**
   * @param directory saved states go below it
   * @param maxBytes of all of them together; the oldest make room. 0 keeps none.
   */
  constructor(
    private readonly directory: string,
    private readonly maxBytes: number,
    private readonly log: Logger,
  ) {}

  list(): SavedState[] {
    return this.chapters.map(({ stepId, savedAtMs }) => ({ stepId, savedAtMs }));
  }

  find(stepId: string): { pair: SavedPair; values: Readonly<Record<string, string>> } | undefined {
    return this.chapters.find((chapter) => chapter.stepId === stepId);
  }

  /**
   * Keeps the pair's state of now, one after the other; a state that cannot be kept costs the learner nothing else.
   * @param tooLate asked when those before it are kept: whether this is no longer the state in which the step begins
   */
  save(
    stepId: string,
    pair: Pair,
    values: Readonly<Record<string, string>>,
    tooLate: () => boolean,
  ): Promise<void> {
    this.saving = this.saving.then(async () => {
      if (this.maxBytes === 0 || this.find(stepId)) return;
      if (tooLate()) {
        this.log.info({ step: stepId }, 'state not saved: its step has begun');
        return;
      }
      const begun = Date.now();
      try {
        const saved = await pair.save(join(this.directory, `saved-${this.count++}`));
        this.chapters.push({ stepId, savedAtMs: begun, pair: saved, values });
        this.log.info({ step: stepId, bytes: saved.bytes, ms: Date.now() - begun }, 'state saved');
        await this.keepWithinLimit();
      } catch (error) {
        this.log.warn({ err: error, step: stepId }, 'state not saved');
      }
    });
    return this.saving;
  }

  /** Resolves when nothing is being saved. */
  settled(): Promise<void> {
    return this.saving;
  }

  /** Removes the states in which these steps began: what happened after going back has made them somebody else's past. */
  forgetAfter(steps: readonly Step[]): void {
    const gone = this.chapters.filter(({ stepId }) => steps.some((step) => step.id === stepId));
    this.chapters = this.chapters.filter((chapter) => !gone.includes(chapter));
    this.saving = this.saving.then(() => this.remove(gone));
  }

  private async keepWithinLimit(): Promise<void> {
    let bytes = this.chapters.reduce((sum, chapter) => sum + chapter.pair.bytes, 0);
    const dropped: Chapter[] = [];
    while (bytes > this.maxBytes) {
      const oldest = this.chapters.shift();
      if (!oldest) break;
      bytes -= oldest.pair.bytes;
      dropped.push(oldest);
    }
    await this.remove(dropped);
  }

  private async remove(chapters: readonly Chapter[]): Promise<void> {
    for (const chapter of chapters) {
      await chapter.pair.remove().catch((error: unknown) => {
        this.log.warn({ err: error, step: chapter.stepId }, 'saved state not removed');
      });
    }
  }
}
