import type { FastifyBaseLogger } from 'fastify';
import type { Principal } from '../access/caller.js';
import type { DurationHistogram, DurationSeries } from '../common/duration-histogram.js';
import type { Metrics } from '../common/metrics.js';

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

/** What is told of a request once it is answered. */
export interface AnsweredRequest {
  readonly requestId: string;
  /** What the client calls it; null or absent: nothing that counts. */
  readonly clientRequestId: string | null | undefined;
  readonly method: string;
  /** The pattern of the route; absent when there is none. */
  readonly route: string | undefined;
  readonly status: number;
  readonly elapsedMs: number;
  readonly principal: Principal | null | undefined;
  readonly clientIp: string;
}

/**
 * Tells of requests once they are answered: their durations to Prometheus, and one line a request to the log, of named
 * fields alone: no URL, whose query may hold anything, no header and no body. The client's address is named where the
 * request was refused. Nothing is made where the level would throw it away.
 */
export class RequestLog {
  private readonly durations: RouteDurations;
  private readonly isTelling: boolean;

  constructor(
    private readonly log: FastifyBaseLogger,
    private readonly level: string,
    meters: Metrics,
  ) {
    this.isTelling = TELLING.has(level);
    this.durations = new RouteDurations(
      meters.durations('latchkey_http_request_duration_seconds', 'Duration of requests.', [
        'method',
        'route',
        'status',
      ]),
    );
  }

  /** Counts an answered request, and writes its line. */
  tell(request: AnsweredRequest): void {
    const { route, method, status, elapsedMs } = request;
    if (this.isTelling && (this.level !== 'info' || !isProbe(route))) this.write(request);
    this.durations.of(route ?? NO_ROUTE, method, status).observe(elapsedMs / 1000);
  }

  private write({
    requestId,
    clientRequestId,
    method,
    route,
    status,
    elapsedMs,
    principal,
    clientIp,
  }: AnsweredRequest): void {
    this.log[isProbe(route) ? 'debug' : 'info'](
      {
        requestId,
        clientRequestId: clientRequestId ?? undefined,
        method,
        route,
        status,
        durationMs: Math.round(elapsedMs * 100) / 100,
        principal: principal ? { kind: principal.kind, id: principal.id } : undefined,
        clientIp: REFUSED.has(status) ? clientIp : undefined,
      },
      'request',
    );
  }
}

function isProbe(route: string | undefined): boolean {
  return route !== undefined && PROBES.has(route);
}

/** The series of each route, method and status: a closed, small set, made as it is met. */
class RouteDurations {
  private readonly routes = new Map<string, Map<string, Map<number, DurationSeries>>>();

  constructor(private readonly histogram: DurationHistogram) {}

  of(route: string, method: string, status: number): DurationSeries {
    const known = this.routes.get(route)?.get(method)?.get(status);
    return known ?? this.add(route, method, status);
  }

  private add(route: string, method: string, status: number): DurationSeries {
    const ofRoute = this.routes.get(route) ?? new Map<string, Map<number, DurationSeries>>();
    const ofMethod = ofRoute.get(method) ?? new Map<number, DurationSeries>();
    const series = this.histogram.series({ method, route, status: String(status) });
    ofMethod.set(status, series);
    ofRoute.set(method, ofMethod);
    this.routes.set(route, ofRoute);
    return series;
  }
}
