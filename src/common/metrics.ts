import { Injectable } from '@nestjs/common';
import { Counter, Gauge, type LabelValues, type Metric, Registry, collectDefaultMetrics } from 'prom-client';
import { buildInfo } from './build-info.js';
import { DurationHistogram } from './duration-histogram.js';

/**
 * The meters of one process, for Prometheus. Modules make theirs once, in a constructor; names begin with
 * `latchkey_` and end in their unit, counters in `_total`, what waits in `_queued`, work under way in `_in_flight`; all
 * are in docs/metrics.md. Labels are closed sets: no id of a key, user or address is ever one.
 */
@Injectable()
export class Metrics {
  readonly registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    const { version, commit } = buildInfo();
    this.info('latchkey_build_info', 'Which build runs; always 1.', {
      version,
      commit: commit ?? 'unknown',
      node: process.version,
    });
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

  /** The same, by one label of a closed set. */
  gauges<L extends string>(
    name: string,
    help: string,
    label: string,
    values: readonly L[],
    read: (value: L) => number,
  ): void {
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        for (const value of values) this.set({ [label]: value }, read(value));
      },
    });
  }

  /** The same by several labels of closed sets; what `read` does not give has no series. */
  samples<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    read: () => readonly { readonly labels: Readonly<Record<L, string>>; readonly value: number }[],
  ): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.set(labels as LabelValues<L>, value);
      },
    });
  }

  /** Something that happens and is counted elsewhere, by one label of a closed set. @see count */
  counts<L extends string>(
    name: string,
    help: string,
    label: string,
    values: readonly L[],
    read: (value: L) => number,
  ): void {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const value of values) this.inc({ [label]: value }, read(value));
      },
    });
  }

  /** Something that happens and is counted elsewhere: `read` gives how often it has happened since the start. */
  count(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  /** Something that never changes while the process lives, told by labels; its value is 1. */
  info(name: string, help: string, labels: Readonly<Record<string, string>>): void {
    new Gauge({ name, help, labelNames: Object.keys(labels), registers: [this.registry] }).set(labels, 1);
  }

  /** Something that happens on every request, by one label of a closed set: counted in an array, told when asked. */
  tally<L extends string>(name: string, help: string, label: string, values: readonly L[]): Tally<L> {
    const tally = new Tally(values);
    this.counts(name, help, label, values, (value) => tally.of(value));
    return tally;
  }

  /** Durations in seconds. */
  durations(name: string, help: string, labelNames: readonly string[] = []): DurationHistogram {
    const histogram = new DurationHistogram(name, help, labelNames);
    // The registry asks a metric for its name and its samples, and for nothing else.
    this.registry.registerMetric(histogram as unknown as Metric);
    return histogram;
  }
}

/** How often each of a few things has happened. */
export class Tally<L extends string> {
  private readonly counts: Record<L, number>;

  constructor(values: readonly L[]) {
    this.counts = Object.fromEntries(values.map((value) => [value, 0])) as Record<L, number>;
  }

  count(value: L): void {
    this.counts[value] += 1;
  }

  of(value: L): number {
    return this.counts[value];
  }
}
