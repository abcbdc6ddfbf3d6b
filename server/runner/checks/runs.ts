/** Commands of the lesson that are typed for the learner: each click once, whatever the network does with it. */
import { LabError } from '../../protocol/errors';
import type { Busy, ClientMessage, ServerMessage } from '../../protocol/messages';

export type RunRequest = Extract<ClientMessage, { type: 'run' }>;
export type RunResult = Extract<ServerMessage, { type: 'run' }>;

/** Results of the last runs, so that a click that is sent again is not executed again. */
const remembered = 500;

const reasons: Record<Busy, { message: string; hint: string }> = {
  program: {
    message: 'A program still runs in this terminal.',
    hint: 'Wait until its prompt is back, or press Ctrl-C in it.',
  },
  'full-screen': {
    message: 'A full-screen program runs in this terminal.',
    hint: 'Leave the program (q in less, :q in vim), then run the command.',
  },
  'half-typed': {
    message: 'Something is typed at the prompt of this terminal already.',
    hint: 'Enter it or delete it, or press Ctrl-C.',
  },
};

export class Runs {
  /** By run id; a run that was refused may be asked for again with another way to go on. */
  private readonly results = new Map<
    string,
    { whenBusy: RunRequest['whenBusy']; result: Promise<RunResult> }
  >();

  /**
   * Executes a request, unless it was before.
   * @param type types the command; resolves with what stands in the way when it was not typed. @throws LabError when it cannot be typed
   * @returns what became of it, the same for each time that it is asked; `isNew` when it was not asked before
   */
  execute(
    request: RunRequest,
    type: () => Promise<Busy | undefined>,
  ): { result: Promise<RunResult>; isNew: boolean } {
    const { runId, whenBusy } = request;
    const before = this.results.get(runId);
    if (before?.whenBusy === whenBusy) return { result: before.result, isNew: false };
    // One after the other: the first may still be typed.
    const result = (before?.result ?? Promise.resolve(undefined)).then((earlier) =>
      earlier?.result === 'typed' ? earlier : this.attempt(request, type),
    );
    this.results.delete(runId);
    this.results.set(runId, { whenBusy, result });
    const [oldest] = this.results.keys();
    if (this.results.size > remembered && oldest !== undefined) this.results.delete(oldest);
    return { result, isNew: true };
  }

  private async attempt(request: RunRequest, type: () => Promise<Busy | undefined>): Promise<RunResult> {
    const { runId, stepId, block, terminal } = request;
    const answer = { type: 'run', runId, stepId, block, terminal } as const;
    try {
      const busy = await type();
      if (!busy) return { ...answer, result: 'typed' };
      const { message, hint } = reasons[busy];
      const error = new LabError('not-at-prompt', message, { hint }).toWire();
      return { ...answer, result: 'refused', error, busy };
    } catch (error) {
      return {
        ...answer,
        result: 'refused',
        error: LabError.from(error, 'The command was not typed').toWire(),
      };
    }
  }
}
