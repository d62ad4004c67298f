import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { DurationHistogram, DurationSeries } from '../common/duration-histogram.js';
import type { Meters } from '../common/meters.js';

/** A request of which no route knows. */
const NO_ROUTE = 'none';

/** The server's own logger for every request: a child of its own for each would be made and thrown away unused. */
export function sharedLogger(logger: FastifyBaseLogger): FastifyBaseLogger {
  return logger;
}

/** Levels at which a line a request is written. */
const TELLING = new Set(['info', 'debug', 'trace']);

/** Asked every second by load balancers, orchestrators and Prometheus: written at debug alone. */
const PROBES = new Set(['/health', '/health/live', '/health/ready', '/metrics']);

/** Refusals whose sender an operator looks for. */
const REFUSED = new Set([401, 403, 429]);

/**
 * One line a request, of named fields alone: no URL, whose query may hold anything, no header and no body. The client's
 * address is named where the request was refused. Nothing is made where the level would throw it away.
 */
export function logRequests(fastify: FastifyInstance, level: string): void {
  if (!TELLING.has(level)) return;
  fastify.addHook('onResponse', (request, reply, done) => {
    if (level !== 'info' || !isProbe(request)) logRequest(fastify.log, request, reply);
    done();
  });
}

function isProbe({ routeOptions: { url } }: FastifyRequest): boolean {
  return url !== undefined && PROBES.has(url);
}

function logRequest(log: FastifyBaseLogger, request: FastifyRequest, reply: FastifyReply): void {
  const principal = request.caller?.principal;
  log[isProbe(request) ? 'debug' : 'info'](
    {
      requestId: request.id,
      clientRequestId: request.caller?.clientRequestId ?? undefined,
      method: request.method,
      // The pattern of the route; absent when there is none.
      route: request.routeOptions.url,
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 100) / 100,
      principal: principal ? { kind: principal.kind, id: principal.id } : undefined,
      clientIp: REFUSED.has(reply.statusCode) ? request.clientIp : undefined,
    },
    'request',
  );
}

/** Observes the duration of every request, by the pattern of its route. */
export function timeRequests(fastify: FastifyInstance, meters: Meters): void {
  const durations = new RouteDurations(
    meters.durations('latchkey_http_request_duration_seconds', 'Duration of requests.', ['method', 'route', 'status']),
  );
  fastify.addHook('onResponse', (request, reply, done) => {
    durations
      .of(request.routeOptions.url ?? NO_ROUTE, request.method, reply.statusCode)
      .observe(reply.elapsedTime / 1000);
    done();
  });
}

/** The series of each route, method and status: a closed, small set, made as it is met. */
class RouteDurations {
  private readonly routes = new Map<string, Map<string, DurationSeries>>();

  constructor(private readonly histogram: DurationHistogram) {}

  of(route: string, method: string, status: number): DurationSeries {
    const ofRoute = this.routes.get(route) ?? new Map<string, DurationSeries>();
    const name = `${method} ${status}`;
    const known = ofRoute.get(name);
    if (known !== undefined) return known;
    const series = this.histogram.series({ method, route, status: String(status) });
    ofRoute.set(name, series);
    this.routes.set(route, ofRoute);
    return series;
  }
}
