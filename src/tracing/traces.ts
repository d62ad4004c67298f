import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { Attempts } from '../common/attempts.js';
import { Conditions } from '../common/conditions.js';
import { Metrics } from '../common/metrics.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { Config } from '../config/config.js';
import type { RequestTraces } from './request-traces.js';
import type { SpanPipeline } from './span-pipeline.js';

/** How long the end of a process waits for the collector to take the last spans. */
const MAX_CLOSE_MS = 2_000;
const SAY_EVERY_MS = 60_000;

const NOT_TAKEN = 'Traces do not reach the collector of TRACES_URL: spans are thrown away.';

/** What becomes of spans, as the exporter tells it. */
export interface SpanCounts {
  /** Spans that the collector has taken, and that it has not. */
  readonly taken: number;
  readonly lost: number;
  readonly queued: number;
}

/**
 * Traces of this process. Without `TRACES_URL` nothing is loaded and nothing is in the path of a request. Spans wait in
 * a bounded queue, and a collector that does not answer costs those that no longer fit, and nothing else.
 */
@Injectable()
export class Traces implements OnApplicationShutdown {
  private readonly logger = new Logger('Traces');
  private readonly attempts = new Attempts();
  private readonly failures = new RepeatedLog((fields) => this.logger.warn(fields), 1, SAY_EVERY_MS);
  private pipeline: SpanPipeline | null = null;

  constructor(
    private readonly config: Config,
    meters: Metrics,
    conditions: Conditions,
  ) {
    conditions.register(
      'traces',
      'traces reach the collector of TRACES_URL, if it is set',
      () => (this.attempts.areFailing ? NOT_TAKEN : null),
      'warn',
    );
    const counts = (): SpanCounts => this.pipeline?.counts ?? { taken: 0, lost: 0, queued: 0 };
    meters.count(
      'latchkey_trace_spans_taken_total',
      'Spans of traces that the collector of TRACES_URL has taken.',
      () => counts().taken,
    );
    meters.count(
      'latchkey_trace_spans_lost_total',
      'Spans of traces that were thrown away: the collector did not take them, or the queue was full.',
      () => counts().lost,
    );
    meters.gauge(
      'latchkey_trace_spans_queued',
      'Spans of traces that wait for the collector, or are under way to it.',
      () => counts().queued,
    );
  }

  /** Begins to trace; null without `TRACES_URL`. @param shortUrls are answered before the router */
  async begin(shortUrls: ReadonlySet<string>): Promise<RequestTraces | null> {
    const { traces } = this.config;
    if (traces === null) return null;
    // Loaded only here: what the library costs, a process without traces does not pay.
    const { beginTraces } = await import('./open-telemetry.js');
    const { pipeline, requests } = beginTraces(traces, shortUrls, (error) => this.exported(error));
    this.pipeline = pipeline;
    return requests;
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.pipeline === null) return;
    await Promise.race([this.pipeline.close(), sleep(MAX_CLOSE_MS, undefined, { ref: false })]);
  }

  private exported(error: Error | null): void {
    if (error === null) return this.attempts.succeeded();
    this.attempts.failed();
    this.failures.add('export', { msg: 'spans of traces could not be sent', cause: error.message });
  }
}
