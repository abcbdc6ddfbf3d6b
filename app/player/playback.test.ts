import { beforeEach, describe, expect, test } from 'vitest';
import { parseCast } from '../../server/lessons/cast';
import { Playback, type Clock, type PlaybackState, type Screen } from './playback';

const cast = (...events: [at: number, text: string][]): string =>
  [
    JSON.stringify({ version: 2, width: 80, height: 24, title: 'A title' }),
    ...events.map(([at, text]) => JSON.stringify([at, 'o', text])),
    '',
  ].join('\n');

describe('parseCast', () => {
  test('reads only size and output', () => {
    const text = `${cast([0.5, 'a'])}${JSON.stringify([1, 'm', 'mark'])}\n${JSON.stringify([2, 'o', '\u001b[1mb'])}`;
    expect(parseCast(text)).toEqual({
      columns: 80,
      rows: 24,
      events: [
        { at: 0.5, text: 'a' },
        { at: 2, text: '\u001b[1mb' },
      ],
    });
  });

  test('refuses input that is no asciicast', () => {
    expect(() => parseCast('{"version":3,"term":{}}')).toThrow('not an asciicast of version 2');
    expect(() => parseCast('<html>')).toThrow();
  });
});

class FakeClock implements Clock {
  #nowMs = 1000;
  #waiting: (() => void) | undefined;
  now(): number {
    return this.#nowMs;
  }
  soon(callback: () => void): () => void {
    this.#waiting = callback;
    return () => {
      this.#waiting = undefined;
    };
  }
  pass(ms: number): void {
    this.#nowMs += ms;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }
  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }
}

class FakeScreen implements Screen {
  shown = '';
  clear(): void {
    this.shown = '';
  }
  write(text: string): void {
    this.shown += text;
  }
}

describe('Playback', () => {
  let clock: FakeClock;
  let screens: [FakeScreen, FakeScreen];
  let state: PlaybackState | undefined;
  const shown = (): string[] => screens.map((screen) => screen.shown);

  const open = (one: [number, string][], other: [number, string][]): Playback =>
    new Playback([parseCast(cast(...one)), parseCast(cast(...other))], screens, clock, (next) => {
      state = next;
    });

  beforeEach(() => {
    clock = new FakeClock();
    screens = [new FakeScreen(), new FakeScreen()];
  });

  test('shows the first output at once, and the rest at its time', () => {
    const playback = open(
      [
        [0, '# '],
        [1, 'a'],
        [2, 'b'],
      ],
      [
        [0, '$ '],
        [1.5, 'c'],
      ],
    );
    expect(shown()).toEqual(['# ', '$ ']);
    playback.play();
    clock.pass(1000);
    expect(shown()).toEqual(['# a', '$ ']);
    clock.pass(500);
    expect(shown()).toEqual(['# a', '$ c']);
    expect(state).toEqual({ playing: true, position: 1.5, duration: 4 });
    clock.pass(10_000);
    expect(shown()).toEqual(['# ab', '$ c']);
    expect(state).toEqual({ playing: false, position: 4, duration: 4 });
    expect(clock.isWaiting).toBe(false);
  });

  test('shortens pauses in which no terminal shows anything', () => {
    const playback = open(
      [
        [0, 'a'],
        [60, 'b'],
      ],
      [
        [1, 'c'],
        [61, 'd'],
      ],
    );
    expect(playback.state.duration).toBe(6);
    playback.play();
    clock.pass(3000);
    expect(shown()).toEqual(['ab', 'c']);
    clock.pass(1000);
    expect(shown()).toEqual(['ab', 'cd']);
  });

  test('stops when paused, and resumes at the same position', () => {
    const playback = open(
      [
        [1, 'a'],
        [2, 'b'],
      ],
      [],
    );
    playback.play();
    clock.pass(1200);
    playback.pause();
    clock.pass(5000);
    expect(shown()).toEqual(['a', '']);
    playback.play();
    clock.pass(700);
    expect(shown()).toEqual(['a', '']);
    clock.pass(200);
    expect(shown()).toEqual(['ab', '']);
  });

  test('seeks to any position, and restarts after the end', () => {
    const playback = open(
      [
        [0, '# '],
        [1, 'a'],
        [2, 'b'],
      ],
      [],
    );
    playback.seek(99);
    expect(shown()[0]).toBe('# ab');
    expect(playback.state.position).toBe(4);
    playback.seek(1);
    expect(shown()[0]).toBe('# a');
    playback.seek(4);
    playback.play();
    expect(shown()[0]).toBe('# ');
    expect(state?.playing).toBe(true);
  });

  test('plays faster when asked', () => {
    const playback = open([[2, 'a']], []);
    playback.setSpeed(2);
    playback.play();
    clock.pass(1000);
    expect(shown()[0]).toBe('a');
  });
});
