import type { FastifyInstance } from 'fastify';
import type { Meters } from '../common/meters.js';

/**
 * One line a request, of named fields alone: no URL, whose query may hold anything, no header and no body. The
 * request's id is bound by Fastify's own child logger, as `requestId`.
 */
export function logRequests(fastify: FastifyInstance): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const principal = request.caller?.principal;
    request.log.info(
      {
        method: request.method,
        // The pattern of the route; absent when there is none.
        route: request.routeOptions.url,
        status: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime * 100) / 100,
        principal: principal ? { kind: principal.kind, id: principal.id } : undefined,
      },
      'request',
    );
    done();
  });
}

/** Observes the duration of every request, by the pattern of its route. */
export function timeRequests(fastify: FastifyInstance, meters: Meters): void {
  const durations = meters.duration('latchkey_http_request_duration_seconds', 'Duration of requests by route and status', ['method', 'route', 'status']);
  fastify.addHook('onResponse', (request, reply, done) => {
    durations.labels(request.method, request.routeOptions.url ?? 'none', String(reply.statusCode)).observe(reply.elapsedTime / 1000);
    done();
  });
}
