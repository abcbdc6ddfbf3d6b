/** Plays the recordings of several terminals in parallel. It is independent of terminals, page and clock. */
import type { Cast } from '../../server/lessons/cast';

/** A terminal that shows a recording. */
export interface Screen {
  /** Clears everything. */
  clear(): void;
  write(text: string): void;
}

export interface Clock {
  /** Milliseconds. */
  now(): number;
  /** Calls `callback` once, soon. Returns a function that cancels the call. */
  soon(callback: () => void): () => void;
}

/** A piece of output at its time. */
interface PlayEvent {
  /** Seconds of playing time. */
  at: number;
  screen: number;
  text: string;
}

/** Longest pause in playback, in seconds. A command that took a minute under TCG pauses only this long. */
const longestPause = 2;
/** Seconds between the last output and the end, so the learner can read it. */
const endPause = 2;

/** Merges the casts into one timeline and shortens pauses to {@link longestPause}, equally for all casts. */
function arrange(casts: readonly Cast[]): PlayEvent[] {
  const merged = casts.flatMap(({ events }, screen) => events.map(({ at, text }) => ({ at, screen, text })));
  merged.sort((one, other) => one.at - other.at);
  let cut = 0;
  let before = 0;
  return merged.map((event) => {
    cut += Math.max(0, event.at - before - longestPause);
    before = event.at;
    return { ...event, at: event.at - cut };
  });
}

export interface PlaybackState {
  playing: boolean;
  /** Seconds. */
  position: number;
  duration: number;
}

export class Playback {
  readonly #screens: readonly Screen[];
  readonly #clock: Clock;
  readonly #onChange: (state: PlaybackState) => void;
  #state: PlaybackState;
  readonly #events: readonly PlayEvent[];
  /** Index of the first event that is not on the screens yet. */
  #next = 0;
  #cancel: (() => void) | undefined;
  #tickedAt = 0;
  #speed = 1;

  /**
   * @param screens one for each cast
   * @param onChange called after each change of the state
   */
  constructor(
    casts: readonly Cast[],
    screens: readonly Screen[],
    clock: Clock,
    onChange: (state: PlaybackState) => void,
  ) {
    this.#screens = screens;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#events = arrange(casts);
    const duration = (this.#events.at(-1)?.at ?? 0) + endPause;
    this.#state = { playing: false, position: 0, duration };
    this.#show(0);
  }

  get state(): PlaybackState {
    return this.#state;
  }

  /** Plays on; starts from the beginning if it is at the end. */
  play(): void {
    if (this.#state.playing) return;
    if (this.#state.position >= this.#state.duration) this.seek(0);
    this.#tickedAt = this.#clock.now();
    this.#set({ playing: true });
    this.#wait();
  }

  pause(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#state.playing) this.#set({ playing: false });
  }

  setSpeed(speed: number): void {
    this.#speed = speed;
  }

  /** @param seconds any position; values outside the recording are clamped */
  seek(seconds: number): void {
    const position = Math.min(Math.max(0, seconds), this.#state.duration);
    if (position < this.#state.position) {
      this.#next = 0;
      for (const screen of this.#screens) screen.clear();
    }
    this.#show(position);
    this.#tickedAt = this.#clock.now();
    this.#set({ position });
  }

  #set(change: Partial<PlaybackState>): void {
    this.#state = { ...this.#state, ...change };
    this.#onChange(this.#state);
  }

  #show(position: number): void {
    for (
      let event = this.#events[this.#next];
      event !== undefined && event.at <= position;
      event = this.#events[++this.#next]
    ) {
      this.#screens[event.screen]?.write(event.text);
    }
  }

  #wait(): void {
    this.#cancel = this.#clock.soon(() => {
      const now = this.#clock.now();
      const position = Math.min(
        this.#state.duration,
        this.#state.position + ((now - this.#tickedAt) / 1000) * this.#speed,
      );
      this.#tickedAt = now;
      this.#show(position);
      const playing = position < this.#state.duration;
      this.#set({ position, playing });
      if (playing) this.#wait();
    });
  }
}
