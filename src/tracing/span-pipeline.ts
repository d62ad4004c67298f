import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter, type SpanProcessor } from '@opentelemetry/sdk-trace';
import type { SpanCounts } from './traces.js';

/** Spans that wait or are under way; further ones are thrown away. About a kilobyte each. */
const MAX_QUEUED = 2_048;
const SPANS_OF_A_BATCH = 512;
const BATCH_EVERY_MS = 1_000;
/** What one export may take, tries of the library included. */
export const MAX_EXPORT_MS = 5_000;

/** The way of ended spans to the collector: a bounded queue, and counts of what became of each. */
export class SpanPipeline implements SpanProcessor {
  private taken = 0;
  private lost = 0;
  private queued = 0;
  private readonly batches: BatchSpanProcessor;

  /** @param tell is given the outcome of each export */
  constructor(exporter: SpanExporter, tell: (error: Error | null) => void) {
    this.batches = new BatchSpanProcessor({
      exporter: {
        export: (spans, done) =>
          exporter.export(spans, (result) => {
            this.exported(spans, result);
            tell(result.code === ExportResultCode.SUCCESS ? null : (result.error ?? new Error('unknown error')));
            done(result);
          }),
        shutdown: () => exporter.shutdown(),
      },
      // One more than ever wait: what is thrown away is thrown away here, where it is counted.
      maxQueueSize: MAX_QUEUED + 1,
      maxExportBatchSize: SPANS_OF_A_BATCH,
      scheduledDelayMillis: BATCH_EVERY_MS,
      exportTimeoutMillis: MAX_EXPORT_MS + 1_000,
    });
  }

  get counts(): SpanCounts {
    return { taken: this.taken, lost: this.lost, queued: this.queued };
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.queued >= MAX_QUEUED) {
      this.lost += 1;
      return;
    }
    this.queued += 1;
    this.batches.onEnd(span);
  }

  /** Sends what waits, and takes no further spans. Never throws. */
  async close(): Promise<void> {
    await this.batches.shutdown().catch(() => undefined);
  }

  forceFlush(): Promise<void> {
    return this.batches.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.close();
  }

  private exported(spans: readonly ReadableSpan[], { code }: ExportResult): void {
    this.queued -= spans.length;
    if (code === ExportResultCode.SUCCESS) this.taken += spans.length;
    else this.lost += spans.length;
  }
}
