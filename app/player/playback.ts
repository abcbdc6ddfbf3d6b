/** Plays what several terminals have shown at the same time. Knows no terminal, no page and no clock of its own. */
import type { Cast } from '../../server/lessons/cast';

/** A terminal that shows a recording. */
export interface Screen {
  /** Everything on it is gone. */
  clear(): void;
  write(text: string): void;
}

export interface Clock {
  /** Milliseconds. */
  now(): number;
  /** Calls once, soon; returns how to not have it called. */
  soon(callback: () => void): () => void;
}

interface Moment {
  /** Seconds of playing time. */
  at: number;
  screen: number;
  text: string;
}

/** Nobody learns from a longer pause: what takes a minute under TCG is waited for as long as this, in seconds. */
const longestPause = 2;
/** Between the last output and the end, so that it can be read. */
const lingering = 2;

/** Puts the casts on one line of time, with no pause longer than {@link longestPause}, the same for all of them. */
function arrange(casts: readonly Cast[]): Moment[] {
  const moments = casts.flatMap(({ events }, screen) => events.map(({ at, text }) => ({ at, screen, text })));
  moments.sort((one, other) => one.at - other.at);
  let cut = 0;
  let before = 0;
  return moments.map((moment) => {
    cut += Math.max(0, moment.at - before - longestPause);
    before = moment.at;
    return { ...moment, at: moment.at - cut };
  });
}

export interface PlaybackState {
  playing: boolean;
  /** Seconds. */
  position: number;
  duration: number;
}

export class Playback {
  #state: PlaybackState;
  readonly #moments: readonly Moment[];
  /** Moments before this one are on the screens. */
  #next = 0;
  #cancel: (() => void) | undefined;
  #tickedAt = 0;
  #speed = 1;

  /**
   * @param screens as many as casts
   * @param onChange told after each change of the state
   */
  constructor(
    casts: readonly Cast[],
    private readonly screens: readonly Screen[],
    private readonly clock: Clock,
    private readonly onChange: (state: PlaybackState) => void,
  ) {
    this.#moments = arrange(casts);
    const duration = (this.#moments.at(-1)?.at ?? 0) + lingering;
    this.#state = { playing: false, position: 0, duration };
    this.#show(0);
  }

  get state(): PlaybackState {
    return this.#state;
  }

  /** From the beginning when it was at its end. */
  play(): void {
    if (this.#state.playing) return;
    if (this.#state.position >= this.#state.duration) this.seek(0);
    this.#tickedAt = this.clock.now();
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

  /** @param seconds anywhere; what is before the beginning or after the end is the beginning or the end */
  seek(seconds: number): void {
    const position = Math.min(Math.max(0, seconds), this.#state.duration);
    if (position < this.#state.position) {
      this.#next = 0;
      for (const screen of this.screens) screen.clear();
    }
    this.#show(position);
    this.#tickedAt = this.clock.now();
    this.#set({ position });
  }

  #set(change: Partial<PlaybackState>): void {
    this.#state = { ...this.#state, ...change };
    this.onChange(this.#state);
  }

  #show(position: number): void {
    for (
      let moment = this.#moments[this.#next];
      moment !== undefined && moment.at <= position;
      moment = this.#moments[++this.#next]
    ) {
      this.screens[moment.screen]?.write(moment.text);
    }
  }

  #wait(): void {
    this.#cancel = this.clock.soon(() => {
      const now = this.clock.now();
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
