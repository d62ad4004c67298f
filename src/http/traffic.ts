import type { FastifyInstance, RouteOptions } from 'fastify';
import type { DeclaredRoute } from '../access/route-access.js';
import { TRAFFIC_CLASSES, type TrafficClass, trafficClassOf } from '../access/traffic-class.js';
import { type Cidr, clientAddress } from '../../packages/contract/src/address.js';
import { Clock } from '../common/clock.js';
import type { Conditions } from '../common/conditions.js';
import type { Metrics } from '../common/metrics.js';
import { type InFlight, type InFlightSettings, boundInFlight } from './in-flight.js';
import { type LaneTimers, TrafficLane, type TrafficLimits } from './traffic-lane.js';

/** The part of `MAX_IN_FLIGHT` that a class has to itself. */
const PARTS: Readonly<Record<TrafficClass, number>> = {
  verify: 1 / 2,
  usage: 1 / 4,
  management: 1 / 8,
  revocation: 1 / 16,
  pages: 1 / 16,
};
/** What one turn of the event loop admits of each class: some 5 ms of verifies, 10 ms of all. */
const PER_TURN: Readonly<Record<TrafficClass, number>> = {
  verify: 64,
  usage: 32,
  management: 16,
  revocation: 16,
  pages: 16,
};
/** The part of a class's bound that may always be held: 512 connections that send verifies are never refused. */
const ALWAYS_HELD_PART = 1 / 8;
/** Probes and scrapers are never counted, held or refused. */
const UNBOUNDED = /^\/(?:health|metrics)(?:\/|$)/;
/** As long as of every function that fails and is not tried again. */
const TOLD_MS = 10_000;
const REFUSING = 'More requests arrive than this replica can answer in time: some are answered 503 OVERLOADED.';

const TIMERS: LaneTimers = new Clock();

/** What bounds traffic, and what tells of it. */
export interface TrafficSettings {
  readonly maxInFlight: number;
  /** The first part of all paths of the API. */
  readonly apiPrefix: string;
  readonly routes: readonly DeclaredRoute[];
  readonly trustedProxies: readonly Cidr[];
  readonly meters: Metrics;
  readonly conditions: Conditions;
}

/** What is in flight, and the lane of each route. */
export interface Traffic {
  readonly inFlight: InFlight;
  readonly laneOf: InFlightSettings['laneOf'];
}

/** Bounds what is in flight, by class. To be called before any route is registered. */
export function boundTraffic(fastify: FastifyInstance, settings: TrafficSettings): Traffic {
  let refusedAtMs = -Infinity;
  const onRefused = (): void => {
    refusedAtMs = performance.now();
  };
  const lanes = Object.fromEntries(
    TRAFFIC_CLASSES.map((name) => [name, new TrafficLane(limitsOf(name, settings.maxInFlight), TIMERS, onRefused)]),
  ) as Record<TrafficClass, TrafficLane>;
  showLanes(settings.meters, lanes);
  settings.conditions.register(
    'capacity',
    'no request is refused because there are too many',
    () => (performance.now() - refusedAtMs < TOLD_MS ? REFUSING : null),
    'warn',
  );
  const classOf = routeClasses(settings.routes, settings.apiPrefix);
  const laneOf: InFlightSettings['laneOf'] = (route) => {
    const name = classOf(route);
    return name === null ? null : lanes[name];
  };
  const inFlight = boundInFlight(fastify, {
    laneOf,
    isProxy: ({ remoteAddress }) => clientAddress(remoteAddress ?? '', undefined, settings.trustedProxies) === null,
  });
  return { inFlight, laneOf };
}

/** The bounds of a class, where `maxInFlight` is that of all. */
export function limitsOf(name: TrafficClass, maxInFlight: number): TrafficLimits {
  const own = Math.floor(maxInFlight * PARTS[name]);
  return { maxInFlight: own, perTurn: PER_TURN[name], alwaysHeld: Math.ceil(own * ALWAYS_HELD_PART), maxHeld: own };
}

/** Gives the class of a route as Fastify knows it; null for those that are not bounded. */
export function routeClasses(
  routes: readonly DeclaredRoute[],
  apiPrefix: string,
): (route: Pick<RouteOptions, 'method' | 'url'>) => TrafficClass | null {
  const known = new Map(
    routes.map(({ method, path, rule, audited }) => [`${method} /${apiPrefix}${path}`, trafficClassOf(rule, audited)]),
  );
  return ({ method, url }) => {
    if (UNBOUNDED.test(url)) return null;
    if (!url.startsWith(`/${apiPrefix}/`)) return 'pages';
    const [first] = [method].flat();
    return known.get(`${first === 'HEAD' ? 'GET' : first} ${url}`) ?? known.get(`ALL ${url}`) ?? 'management';
  };
}

function showLanes(meters: Metrics, lanes: Readonly<Record<TrafficClass, TrafficLane>>): void {
  meters.gauges(
    'latchkey_requests_in_flight',
    'Requests that are worked on, by class. A body counts as one request for each KiB.',
    'class',
    TRAFFIC_CLASSES,
    (name) => lanes[name].inFlight,
  );
  meters.gauges(
    'latchkey_requests_queued',
    'Requests that wait for a place; their connections are not read.',
    'class',
    TRAFFIC_CLASSES,
    (name) => lanes[name].queued,
  );
  meters.counts(
    'latchkey_requests_refused_total',
    'Requests answered 503 OVERLOADED.',
    'class',
    TRAFFIC_CLASSES,
    (name) => lanes[name].refused,
  );
}
