/** Holds the session's state, and tells of its changes. */
import { initialState, type SessionEvent, type SessionState } from './session-state';

/** What the parts of a session see of its state. */
export interface Store {
  getState(): SessionState;
  dispatch(event: SessionEvent): void;
  /**
   * Calls back once, as soon as there is an answer; perhaps at once.
   * @param answer undefined for as long as there is none
   * @returns stops waiting
   */
  when<T>(answer: (state: SessionState) => T | undefined, then: (answer: T) => void): () => void;
}

export class SessionStore implements Store {
  readonly #reduce: (state: SessionState, event: SessionEvent) => SessionState;
  readonly #onChange: (before: SessionState, after: SessionState) => void;
  #state = initialState;
  readonly #listeners = new Set<() => void>();
  readonly #waiting = new Set<() => void>();

  /**
   * @param reduce pure
   * @param onChange does what a change of phase needs, before the listeners hear of it
   */
  constructor(
    reduce: (state: SessionState, event: SessionEvent) => SessionState,
    onChange: (before: SessionState, after: SessionState) => void,
  ) {
    this.#reduce = reduce;
    this.#onChange = onChange;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getState = (): SessionState => this.#state;

  dispatch(event: SessionEvent): void {
    const before = this.#state;
    const after = this.#reduce(before, event);
    if (after === before) return;
    this.#state = after;
    this.#onChange(before, after);
    for (const look of [...this.#waiting]) look();
    for (const listener of [...this.#listeners]) listener();
  }

  when<T>(answer: (state: SessionState) => T | undefined, then: (answer: T) => void): () => void {
    const look = (): void => {
      // One that was looked at before may have ended this one.
      if (!this.#waiting.has(look)) return;
      const found = answer(this.#state);
      if (found === undefined) return;
      this.#waiting.delete(look);
      then(found);
    };
    this.#waiting.add(look);
    look();
    return () => {
      this.#waiting.delete(look);
    };
  }
}
