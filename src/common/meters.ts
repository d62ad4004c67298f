import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** Buckets of request durations in seconds: fine where a verify lives, coarse where something is wrong. */
const DURATION_BUCKETS_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/**
 * The meters of one process, for Prometheus. Modules make theirs once, in a constructor; names begin with
 * `latchkey_` and end in their unit. Labels are closed sets: no id of a key, user or address is ever one.
 */
@Injectable()
export class Meters {
  readonly registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Something that happens. Keep the child of `.labels(…)` where it is counted on every request. */
  counter<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  /** Something that is so: `read` is asked when Prometheus asks. */
  gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** Durations in seconds. */
  duration<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets: DURATION_BUCKETS_SECONDS, registers: [this.registry] });
  }
}
