import { ROOT_CONTEXT } from '@opentelemetry/api';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { type ReadableSpan, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { afterEach, describe, expect, it } from '@jest/globals';
import { SpanPipeline } from './span-pipeline.js';

const MAX_QUEUED = 2_048;

/** An exporter whose collector answers when the test says so. */
class HandExporter implements SpanExporter {
  readonly waiting: { readonly spans: readonly ReadableSpan[]; readonly done: (result: ExportResult) => void }[] = [];

  /** Whether it answers by itself. */
  isPrompt = false;

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.waiting.push({ spans, done });
    if (this.isPrompt) this.answer(ExportResultCode.SUCCESS);
  }

  answer(code: ExportResultCode): number {
    const { spans, done } = this.waiting.shift()!;
    done(code === ExportResultCode.SUCCESS ? { code } : { code, error: new Error('refused') });
    return spans.length;
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}

describe('The way of spans to the collector', () => {
  const exporter = new HandExporter();
  const told: (Error | null)[] = [];
  let pipeline = new SpanPipeline(exporter, (error) => told.push(error));

  afterEach(async () => {
    exporter.isPrompt = true;
    while (exporter.waiting.length > 0) exporter.answer(ExportResultCode.SUCCESS);
    await pipeline.close();
    exporter.isPrompt = false;
    told.length = 0;
    pipeline = new SpanPipeline(exporter, (error) => told.push(error));
  });

  const make = (spans: number) => {
    const tracer = new TracerProvider({ spanProcessors: [pipeline] }).getTracer('test');
    for (let n = 0; n < spans; n += 1) tracer.startSpan(String(n), {}, ROOT_CONTEXT).end();
  };

  it('holds a bounded number, and counts what it throws away', () => {
    make(MAX_QUEUED);
    expect(pipeline.counts).toEqual({ taken: 0, lost: 0, queued: MAX_QUEUED });
    make(3_000);
    expect(pipeline.counts).toEqual({ taken: 0, lost: 3_000, queued: MAX_QUEUED });
  });

  it('has room again for what the collector took or refused, and tells which it was', async () => {
    make(MAX_QUEUED);
    const flushed = pipeline.forceFlush().catch(() => undefined);
    const taken = exporter.answer(ExportResultCode.SUCCESS);
    const lost = exporter.answer(ExportResultCode.FAILED);
    expect(pipeline.counts).toEqual({ taken, lost, queued: MAX_QUEUED - taken - lost });
    expect(told).toEqual([null, new Error('refused')]);
    while (exporter.waiting.length > 0) exporter.answer(ExportResultCode.SUCCESS);
    await flushed;
    make(10);
    expect(pipeline.counts).toEqual({ taken: MAX_QUEUED - lost, lost, queued: 10 });
  });

  it('sends what waits when it is closed, and closes where that fails', async () => {
    make(700);
    const closed = pipeline.close();
    await new Promise((resolve) => setImmediate(resolve));
    expect(exporter.waiting.map(({ spans }) => spans.length)).toEqual([512, 188]);
    exporter.answer(ExportResultCode.FAILED);
    exporter.answer(ExportResultCode.SUCCESS);
    await expect(closed).resolves.toBeUndefined();
  });
});
