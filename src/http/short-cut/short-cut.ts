import type { FastifyInstance } from 'fastify';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { actOf } from '../../access/access.guard.js';
import type { KeyAuthenticator } from '../../access/authenticator.js';
import type { ClientIps } from '../../access/client-ip.js';
import type { Permission } from '../../access/permissions.js';
import type { DeclaredRoute } from '../../access/route-access.js';
import type { Metrics, Tally } from '../../common/metrics.js';
import type { ProblemFilter } from '../../common/problem.filter.js';
import type { ResponseBatching } from '../response-batching.js';
import type { InFlight, InFlightSettings, RequestPlace } from '../in-flight.js';
import { readJson } from '../json-text.js';
import type { RequestLog } from '../request-log.js';
import type { AnswerHeaders } from '../security-headers.js';
import type { TrafficLane } from '../traffic-lane.js';
import { Exchange, type ExchangeSettings } from './exchange.js';
import { HandedOver, readHandedOver } from './handed-over.js';
import { JsonHead } from './json-head.js';
import { type HeadLimits, plainBodyLength } from './plain-head.js';
import type { ShortRoute } from './short-route.js';
import { readWhole } from './whole-body.js';

/** What became of a request to a route of the short cut. */
const OUTCOMES = ['answered', 'handed-over'] as const;

/** What the short cut shares with the ordinary routes: each rule has one author. */
export interface ShortCutSettings {
  readonly routes: readonly ShortRoute[];
  /** As declared, with the permission that each needs. */
  readonly declared: readonly DeclaredRoute[];
  readonly apiPrefix: string;
  readonly maxHeaderLines: number;
  readonly keys: KeyAuthenticator;
  readonly clientIps: ClientIps;
  readonly inFlight: InFlight;
  readonly laneOf: InFlightSettings['laneOf'];
  readonly headersOf: (url: string) => AnswerHeaders | null;
  readonly problems: ProblemFilter;
  readonly together: ResponseBatching;
  readonly log: RequestLog;
  readonly isLeaving: () => boolean;
}

/** A route of the short cut, with what its ordinary route declares. */
interface KnownRoute {
  readonly answer: ShortRoute['answer'];
  readonly permission: Permission;
  readonly exchange: ExchangeSettings;
  /** Known once Fastify has the ordinary route. */
  lane: TrafficLane | null;
  limits: HeadLimits;
}

/** The counter of the short cut; there whether it is on or not. */
export function shortCutTally(meters: Metrics): Tally<(typeof OUTCOMES)[number]> {
  return meters.tally(
    'latchkey_short_cut_requests_total',
    'Requests to the routes that services call most: answered before the router, or handed over to it.',
    'outcome',
    OUTCOMES,
  );
}

/**
 * Answers plain requests to the routes that services call most, before Fastify's router: what the router, the framework
 * and their objects cost a request is more than a verdict. It knows the one case that nearly every request is. Whatever
 * else comes is handed to the ordinary route, before anything was consumed, so that each refusal has one author.
 *
 * To be called before any route is registered.
 *
 * @see docs/adr/0032-a-short-cut-for-the-data-plane.md
 */
export function takeShortCut(
  fastify: FastifyInstance,
  settings: ShortCutSettings,
  tally: ReturnType<typeof shortCutTally>,
): void {
  const [ordinary, ...others] = fastify.server.listeners('request') as RequestListener[];
  if (ordinary === undefined || others.length > 0) throw new Error('The short cut expects one listener: Fastify’s.');
  const shortCut = new ShortCut(settings, tally, ordinary);
  const bodyBytes = fastify.initialConfig.bodyLimit!;
  fastify.addHook('onRoute', (route) => {
    const known = [route.method].flat().includes('POST') ? shortCut.routes.get(route.url) : undefined;
    if (known === undefined) return;
    known.lane = settings.laneOf(route);
    known.limits = { bodyBytes: route.bodyLimit ?? bodyBytes, headerLines: settings.maxHeaderLines };
  });
  readHandedOver(fastify, shortCut.handed, (url) => shortCut.routes.has(url));
  fastify.addHook('preClose', (done) => {
    shortCut.isClosing = true;
    done();
  });
  fastify.server.off('request', ordinary);
  fastify.server.on('request', (request, response) => shortCut.handle(request, response));
}

/** The routes, and what every request on the short cut needs. */
class ShortCut {
  readonly routes: ReadonlyMap<string, KnownRoute>;
  readonly handed = new HandedOver();
  isClosing = false;

  constructor(
    readonly settings: ShortCutSettings,
    readonly tally: ReturnType<typeof shortCutTally>,
    private readonly ordinary: RequestListener,
  ) {
    this.routes = new Map(
      settings.routes.map((route) => {
        const known = knownRoute(route, settings);
        return [known.exchange.url, known];
      }),
    );
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const route = this.routes.get(request.url!);
    if (route === undefined || request.method !== 'POST') return this.ordinary(request, response);
    const isLeaving = this.isClosing || this.settings.isLeaving();
    const length = isLeaving || route.lane === null ? null : plainBodyLength(request, route.limits);
    const presented = length === null ? null : this.settings.keys.presentedKey(request);
    if (length === null || presented === null) return this.handOver(request, response);
    new Passage(this, route, request, response, presented).begin(length);
  }

  handOver(request: IncomingMessage, response: ServerResponse): void {
    this.tally.count('handed-over');
    this.ordinary(request, response);
  }
}

/** One request on the short cut, from its head to the answer or to the ordinary route. */
class Passage {
  private readonly arrivedMs = performance.now();
  private readonly place: RequestPlace;
  /** What was read of the body; null: its client has gone. */
  private body: Buffer | null | undefined;

  constructor(
    private readonly shortCut: ShortCut,
    private readonly route: KnownRoute,
    private readonly request: IncomingMessage,
    private readonly response: ServerResponse,
    private readonly presented: string,
  ) {
    this.place = shortCut.settings.inFlight.placeOf(request, route.lane!, route.limits.bodyBytes);
  }

  /** Waits for a place, then reads the body. */
  begin(length: number): void {
    this.place.enter(
      () => readWhole(this.request, length, (body) => this.received(body)),
      () => this.handOver(),
    );
  }

  private received(body: Buffer | null): void {
    this.body = body;
    if (body === null) this.handOver();
    else this.place.received(() => this.answer(body));
  }

  private answer(body: Buffer): void {
    const { problems, clientIps, keys } = this.shortCut.settings;
    const ip = clientIps.of(this.request);
    const exchange = new Exchange(this.route.exchange, this.request, this.response, this.place, ip, this.arrivedMs);
    try {
      const principal = keys.findPrincipal(this.presented, ip);
      if (principal === null || !principal.may(this.route.permission)) return this.handOver();
      const reading = readJson(body);
      if ('errors' in reading) return this.handOver();
      const answer = this.route.answer(reading.value, exchange.callFor(principal), this.place);
      if (answer === null) return this.handOver();
      this.shortCut.tally.count('answered');
      if (typeof answer === 'string') exchange.sendJson(answer);
      else void sendLater(answer, exchange, problems);
    } catch (error) {
      void problems.answer(error, exchange, exchange);
    }
  }

  /** Nothing was consumed: the ordinary route has the place and, where it was read, the body. */
  private handOver(): void {
    const { shortCut, request, response, place } = this;
    place.hadBeforeMs = performance.now() - this.arrivedMs;
    shortCut.settings.inFlight.keep(request, place);
    if (this.body !== undefined) shortCut.handed.keep(request, this.body);
    shortCut.handOver(request, response);
  }
}

async function sendLater(answer: Promise<string>, exchange: Exchange, problems: ProblemFilter): Promise<void> {
  try {
    exchange.sendJson(await answer);
  } catch (error) {
    await problems.answer(error, exchange, exchange);
  }
}

/** @throws Error for a route that asks for anything but one permission: the short cut knows no other rule */
function knownRoute(route: ShortRoute, settings: ShortCutSettings): KnownRoute {
  const { declared, apiPrefix, headersOf, together, log, isLeaving } = settings;
  const found = declared.find(({ method, path }) => method === 'POST' && path === route.path);
  const rule = found?.rule;
  if (rule?.kind !== 'permission' || rule.alsoNeeds !== undefined)
    throw new Error(`POST ${route.path} does not declare one permission, so that it cannot be on the short cut.`);
  const url = `/${apiPrefix}${route.path}`;
  const headers = headersOf(url) ?? {};
  return {
    answer: (body, caller, place) => route.answer(body, caller, place),
    permission: rule.permission,
    exchange: {
      url,
      headers,
      jsonHead: new JsonHead(headers),
      audited: found!.audited,
      refusedAs: actOf(rule),
      together,
      log,
      isLeaving,
    },
    lane: null,
    limits: { bodyBytes: 0, headerLines: settings.maxHeaderLines },
  };
}
