import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace, type Tracer } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { activeSpan } from './active-span.js';

/** Asked every second: nothing is to be learned of them. */
const PROBES = /^\/(?:health|metrics)(?:[/?]|$)/;

/**
 * Spans of requests. They have the method, the template of the route, the status and the id of the request: no URL, no
 * header and no body, which may hold secrets.
 */
export class RequestTraces {
  private readonly propagator = new W3CTraceContextPropagator();
  private readonly spans = new WeakMap<IncomingMessage, Span>();

  constructor(
    private readonly tracer: Tracer,
    private readonly shortUrls: ReadonlySet<string>,
  ) {}

  /** Answers a request by `handle`, as a span if it is sampled. */
  run(request: IncomingMessage, response: ServerResponse, handle: () => void): void {
    if (PROBES.test(request.url ?? '') || this.spans.has(request)) return handle();
    const method = request.method ?? '_OTHER';
    const attributes = { 'http.request.method': method };
    const parent = this.propagator.extract(ROOT_CONTEXT, request.headers, TRACEPARENT);
    const span = this.tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
    if (!span.isRecording()) return handle();
    this.spans.set(request, span);
    if (this.shortUrls.has(request.url!)) this.routed(request, request.url!);
    noteRequestId(response, span);
    response.once('close', () => {
      const { statusCode } = response;
      span.setAttribute('http.response.status_code', statusCode);
      if (!response.writableFinished) span.setAttribute('error.type', 'aborted');
      if (statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
    activeSpan.run({ tracer: this.tracer, context: trace.setSpan(parent, span) }, handle);
  }

  /** Names the span of a request by the template of its route. */
  routed(request: IncomingMessage, route: string): void {
    const span = this.spans.get(request);
    span?.updateName(`${request.method} ${route}`).setAttribute('http.route', route);
  }
}

/** What a caller says besides, in `tracestate`, may be anything: it is not kept. */
const TRACEPARENT = {
  get: (headers: IncomingMessage['headers'], name: string) => (name === 'traceparent' ? headers[name] : undefined),
  keys: () => ['traceparent'],
};

/** As the log has it. The ordinary route sets the header before, the short cut with the status. */
function noteRequestId(response: ServerResponse, span: Span): void {
  const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse;
  response.writeHead = (...args: unknown[]) => {
    const id = idAmong(args.at(-1)) ?? response.getHeader('x-request-id');
    if (typeof id === 'string') span.setAttribute('latchkey.request_id', id);
    return writeHead(...args);
  };
}

/** The id among headers as Node takes them: an object, or names and values in turn. */
function idAmong(headers: unknown): unknown {
  if (typeof headers !== 'object' || headers === null) return undefined;
  if (Array.isArray(headers)) return headers[headers.indexOf('x-request-id') + 1] as unknown;
  return (headers as Record<string, unknown>)['x-request-id'];
}
