import type { FastifyInstance } from 'fastify';

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
