import { ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { randomUUID } from 'node:crypto';
import { buildInfo } from '../common/build-info.js';
import { setTraceWork, type TraceWork } from '../common/trace-work.js';
import type { TracesConfig } from '../config/traces.js';
import { activeSpan, openSpan } from './active-span.js';
import { RequestTraces } from './request-traces.js';
import { MAX_EXPORT_MS, SpanPipeline } from './span-pipeline.js';
import { traceStatements } from './statement-spans.js';

/** Of one span: none of ours has more. */
const SPAN_LIMITS = { attributeCountLimit: 16, attributeValueLengthLimit: 256, linkCountLimit: 1, eventCountLimit: 0 };

/**
 * Begins to trace the requests that are given to it, the statements in them, and work that many requests share.
 *
 * @param tell is given the outcome of each export
 */
export function beginTraces(
  config: TracesConfig,
  shortUrls: ReadonlySet<string>,
  tell: (error: Error | null) => void,
): { pipeline: SpanPipeline; requests: RequestTraces } {
  const { url, headers, sampleRatio } = config;
  const exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: MAX_EXPORT_MS });
  const pipeline = new SpanPipeline(exporter, tell);
  const { version } = buildInfo();
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'latchkey',
      'service.version': version,
      'service.instance.id': randomUUID(),
    }),
    sampler: samplerOf(sampleRatio),
    spanLimits: SPAN_LIMITS,
    spanProcessors: [pipeline],
  });
  const tracer = provider.getTracer('latchkey', version);
  traceStatements();
  const work: TraceWork = (name, run) => {
    const active = openSpan();
    const cause = active === undefined ? undefined : trace.getSpanContext(active.context);
    // By itself, with a link: what many requests wait for is a part of none of them.
    const span = tracer.startSpan(name, cause === undefined ? {} : { links: [{ context: cause }] }, ROOT_CONTEXT);
    if (!span.isRecording()) return activeSpan.exit(run);
    return activeSpan.run({ tracer, context: trace.setSpan(ROOT_CONTEXT, span) }, async () => {
      try {
        return await run();
      } catch (error) {
        span.setStatus({ code: SpanStatusCode.ERROR });
        throw error;
      } finally {
        span.end();
      }
    });
  };
  setTraceWork(work);
  return { pipeline, requests: new RequestTraces(tracer, shortUrls) };
}

/** A caller's decision holds; work that a recorded request waits for is recorded; the rest by its part. */
function samplerOf(ratio: number): Sampler {
  const byRatio = new TraceIdRatioBasedSampler(ratio);
  const root: Sampler = {
    shouldSample: (context, traceId, _name, _kind, _attributes, links) =>
      links.length > 0 ? { decision: SamplingDecision.RECORD_AND_SAMPLED } : byRatio.shouldSample(context, traceId),
    toString: () => `WithLinks{${byRatio.toString()}}`,
  };
  return new ParentBasedSampler({ root });
}
