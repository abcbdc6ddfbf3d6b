/** The pump on links of all sorts, in simulated time. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pump, type Source } from './pump';
import type { Portion } from '../terminal/attachment';

vi.setConfig({ testTimeout: 60_000 });

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'],
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const fast = 20_000_000;

/** A link of so many bytes a second, with a queue without end and a page that answers pings at once. */
class Link {
  readonly arrived = new Map<number, number>();
  readonly #bytesPerSecond: number;
  readonly #roundTripMs: number;
  /** Called with the channel of each frame that arrives. */
  readonly #onFrame: (channel: number, bytes: number) => void;
  #freeAtMs = 0;
  readonly pump: Pump;
  answers = true;

  constructor(
    bytesPerSecond: number,
    roundTripMs: number,
    onFrame: (channel: number, bytes: number) => void = () => undefined,
  ) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#roundTripMs = roundTripMs;
    this.#onFrame = onFrame;
    this.pump = new Pump({
      cork: () => undefined,
      uncork: () => undefined,
      send: (data) => {
        this.#carry(data.length, () => {
          if (typeof data === 'string') return;
          const channel = data[1] ?? 0;
          this.arrived.set(channel, (this.arrived.get(channel) ?? 0) + data.length);
          this.#onFrame(channel, data.length);
        });
      },
      ping: (payload) => {
        this.#carry(10, () => {
          if (this.answers)
            setTimeout(() => {
              this.pump.answered(payload);
            }, this.#roundTripMs / 2);
        });
      },
    });
  }

  #carry(bytes: number, arrive: () => void): void {
    const now = performance.now();
    this.#freeAtMs = Math.max(now, this.#freeAtMs) + (bytes / this.#bytesPerSecond) * 1000;
    setTimeout(arrive, this.#freeAtMs + this.#roundTripMs / 2 - now);
  }
}

class Flood implements Source {
  readonly #channel: number;
  #offset = 0;
  constructor(
    channel: number,
    public pending = Infinity,
  ) {
    this.#channel = channel;
  }
  take(maxBytes: number): Portion | undefined {
    if (this.pending === 0) return undefined;
    const bytes = Buffer.alloc(Math.min(maxBytes, this.pending));
    this.pending -= bytes.length;
    const offset = this.#offset;
    this.#offset += bytes.length;
    return { type: 'frame', kind: 'output', channel: this.#channel, offset, bytes };
  }
}

const run = (ms: number) => {
  for (let passed = 0; passed < ms; passed += 1) vi.advanceTimersByTime(1);
};

test.each([
  { bytesPerSecond: 20_000, roundTripMs: 2, mostMs: 1000 },
  { bytesPerSecond: 20_000, roundTripMs: 300, mostMs: 1300 },
  { bytesPerSecond: 1_000_000, roundTripMs: 50, mostMs: 300 },
  { bytesPerSecond: fast, roundTripMs: 1, mostMs: 150 },
])(
  'a keystroke’s echo beside a flood over $bytesPerSecond B/s and $roundTripMs ms comes within $mostMs ms',
  ({ bytesPerSecond, roundTripMs, mostMs }) => {
    let echoedAt = 0;
    const link = new Link(bytesPerSecond, roundTripMs, (channel) => {
      if (channel === 1) echoedAt = performance.now();
    });
    link.pump.add(new Flood(0));
    const quiet = new Flood(1, 0);
    link.pump.add(quiet);
    let worst = 0;
    for (let key = 0; key < 20; key++) {
      run(237);
      const pressedAt = performance.now();
      quiet.pending = 3;
      link.pump.wake();
      echoedAt = 0;
      run(mostMs + 200);
      expect(echoedAt).toBeGreaterThan(0);
      worst = Math.max(worst, echoedAt - pressedAt);
    }
    expect(worst).toBeLessThan(mostMs);
  },
);

test.each([
  { bytesPerSecond: 20_000, roundTripMs: 300 },
  { bytesPerSecond: 1_000_000, roundTripMs: 50 },
  { bytesPerSecond: 6_000_000, roundTripMs: 100 },
  { bytesPerSecond: fast, roundTripMs: 1 },
])('$bytesPerSecond B/s with $roundTripMs ms are used in full', ({ bytesPerSecond, roundTripMs }) => {
  const link = new Link(bytesPerSecond, roundTripMs);
  link.pump.add(new Flood(0));
  run(3000);
  const before = link.arrived.get(0) ?? 0;
  run(5000);
  expect(((link.arrived.get(0) ?? 0) - before) / 5).toBeGreaterThan(0.9 * bytesPerSecond);
});

test('floods have equal shares', () => {
  const link = new Link(1_000_000, 20);
  for (const channel of [0, 1, 2]) link.pump.add(new Flood(channel));
  run(5000);
  const shares = [...link.arrived.values()];
  expect(shares).toHaveLength(3);
  expect(Math.max(...shares) / Math.min(...shares)).toBeLessThan(1.1);
});

test('a page that answers nothing is sent the first window and no more', () => {
  const link = new Link(fast, 1);
  link.answers = false;
  link.pump.add(new Flood(0));
  run(5000);
  expect(link.arrived.get(0)).toBeLessThan(32 * 1024);
});

test('answers that were never asked for change nothing', () => {
  const link = new Link(20_000, 2);
  link.pump.add(new Flood(0));
  run(2000);
  const { window } = link.pump;
  for (const forged of [2n ** 60n, 0n, 12345n]) {
    const payload = Buffer.alloc(8);
    payload.writeBigUInt64BE(forged);
    link.pump.answered(payload);
  }
  link.pump.answered(Buffer.alloc(3));
  expect(link.pump.window).toBe(window);
});

test('when a link becomes slower the window follows', () => {
  let speed = 10_000_000;
  let freeAtMs = 0;
  const pump = new Pump({
    cork: () => undefined,
    uncork: () => undefined,
    send: (data) => {
      freeAtMs = Math.max(performance.now(), freeAtMs) + (data.length / speed) * 1000;
    },
    ping: (payload) => {
      setTimeout(
        () => {
          pump.answered(payload);
        },
        freeAtMs - performance.now() + 20,
      );
    },
  });
  pump.add(new Flood(0));
  run(2000);
  expect(pump.window).toBeGreaterThan(500_000);
  speed = 500_000;
  run(10_000);
  // 20 ms of the link itself, and a queue of 100 ms.
  expect(pump.window).toBeLessThan(500_000 * 0.25);
});
