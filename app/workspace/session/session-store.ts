/** Holds the session's state and notifies listeners of changes. */
import { initialState, type SessionEvent, type SessionState } from './session-state';

/** The store's interface for the parts of a session. */
export interface Store {
  getState(): SessionState;
  dispatch(event: SessionEvent): void;
  /**
   * Calls back once, when `answer` first returns a value; perhaps at once.
   * @param answer returns undefined while there is no answer
   * @returns a function that stops waiting
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
   * @param onChange runs before the listeners, for the side effects of a change
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
      // An earlier callback may have removed this one.
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
