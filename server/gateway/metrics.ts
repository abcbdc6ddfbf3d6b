/** What the gateway counts and times, for Prometheus. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** Figures that are read when metrics are, and not kept. */
export interface GaugeSources {
  poolReady: () => number;
  poolMaking: () => number;
  sessions: () => number;
  queue: () => number;
  capacity: () => number;
  memoryBytes: () => number;
}

/** From a warm pool to a machine that is full under TCG. */
const startSecondsBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64];

export class Metrics {
  readonly registry = new Registry();
  /** By code of LabError. */
  readonly failures = new Counter({
    name: 'lab_failures_total',
    help: 'Failures by code',
    labelNames: ['code'],
    registers: [this.registry],
  });
  /** By reason; `crashed` for runners that said none, `reset` for sandboxes that were replaced while their session goes on. */
  readonly ended = new Counter({
    name: 'lab_sessions_ended_total',
    help: 'Sessions that ended, by reason; reset counts sandboxes that were replaced',
    labelNames: ['reason'],
    registers: [this.registry],
  });
  readonly acquireSeconds = new Histogram({
    name: 'lab_acquire_seconds',
    help: 'From the request for a pair to a pair assigned; warm is one that was ready in the pool',
    labelNames: ['warm'],
    buckets: startSecondsBuckets,
    registers: [this.registry],
  });
  readonly cloneSeconds = new Histogram({
    name: 'lab_clone_seconds',
    help: 'From the start of a runner to prompts on both hosts',
    buckets: startSecondsBuckets,
    registers: [this.registry],
  });
  readonly queueSeconds = new Histogram({
    name: 'lab_queue_seconds',
    help: 'Time in the queue of learners who got a pair',
    buckets: [1, 10, 60, 300, 900, 1800, 3600, 7200],
    registers: [this.registry],
  });

  constructor(sources: GaugeSources) {
    collectDefaultMetrics({ register: this.registry, prefix: 'lab_gateway_' });
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(read());
        },
      });
    };
    gauge('lab_pool_ready', 'Pairs in the pool that are ready', sources.poolReady);
    gauge('lab_pool_making', 'Pairs in the pool that are being made', sources.poolMaking);
    gauge('lab_sessions', 'Sessions that run', sources.sessions);
    gauge('lab_queue', 'Learners who wait for a pair', sources.queue);
    gauge('lab_capacity_pairs', 'Pairs that this machine holds', sources.capacity);
    gauge('lab_pairs_memory_bytes', 'Private memory of all pairs', sources.memoryBytes);
  }
}
