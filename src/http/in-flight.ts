import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { DomainError } from '../common/domain-error.js';
import { sendProblem } from '../common/problem.filter.js';
import { type Admission, LanePlace, type TrafficLane } from './traffic-lane.js';

/** Bytes of a body that cost as much as a small request: 100 verifies cost 8, a report of 1000 events 180. */
const BYTES_PER_COST = 1024;
/** Of a body that does not say how long it is. */
const COST_OF_UNKNOWN_LENGTH = 16;
/** `Retry-After` is between these, at random, so that clients that were refused together do not come back together. */
const RETRY_AFTER_SECONDS = { min: 1, max: 3 } as const;
/**
 * A client whose request was refused is not read for as long: none that was told to wait comes sooner. A proxy is read
 * on: over the same connection it sends the requests of others.
 */
const UNREAD_MS = RETRY_AFTER_SECONDS.min * 1000;
/** Requests that a connection may send ahead of their answers. More than one read of a socket can bring is a flood. */
const MAX_AHEAD = 2048;
/** A handler whose client has gone and that never answers keeps its place for as long. */
const MAX_ABANDONED_MS = 10_000;

const NOTHING = (): void => undefined;

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on every route with a lane: the place of this request. */
    place: RequestPlace | null;
  }
}

/** What is counted, and of whom. */
export interface InFlightSettings {
  /** Gives the lane of a route; null: its requests are neither counted nor held. */
  readonly laneOf: (route: RouteOptions) => TrafficLane | null;
  /** Whether the other end of a connection sends the requests of many clients. */
  readonly isProxy: (socket: Socket) => boolean;
}

/**
 * Bounds what is in flight by the lane of each route. Decided when the head of a request is read, before its body: a
 * request without a place waits, and its connection is read no further; then it is 503 `OVERLOADED`. One request of a
 * connection is worked on at a time, so that requests sent ahead take no places.
 *
 * A place is given back once the answer is made: a slow reader keeps none.
 *
 * @see docs/adr/0030-what-is-in-flight-is-bounded.md
 */
export function boundInFlight(fastify: FastifyInstance, { laneOf, isProxy }: InFlightSettings): InFlight {
  const inFlight = new InFlight(isProxy);
  fastify.decorateRequest('place', null);
  fastify.addHook('onRoute', (route) => {
    const lane = laneOf(route);
    if (lane === null) return;
    route.onRequest = [
      ...[route.onRequest ?? []].flat(),
      (request: FastifyRequest, reply: FastifyReply, done: () => void) => {
        request.place = inFlight.placeOf(request.raw, lane, request.routeOptions.bodyLimit);
        request.place.enter(done, () => refuse(reply, request.id));
      },
    ];
    route.preValidation = [
      ...[route.preValidation ?? []].flat(),
      (request: FastifyRequest, _reply: FastifyReply, done: () => void) => request.place!.received(done),
    ];
  });
  return inFlight;
}

/** The places of all requests. */
export class InFlight {
  private readonly connections = new WeakMap<Socket, Connection>();
  private readonly kept = new WeakMap<IncomingMessage, RequestPlace>();

  constructor(private readonly isProxy: (socket: Socket) => boolean) {}

  /** A place for a request, to be entered; the one it has already, where it was kept. */
  placeOf(request: IncomingMessage, lane: TrafficLane, bodyLimit: number): RequestPlace {
    return (
      this.kept.get(request) ??
      new RequestPlace(lane, this.connectionOf(request.socket), costOf(request.headers, bodyLimit))
    );
  }

  /** Keeps the place of a request that is handed to another handler, which finds it by `placeOf`. */
  keep(request: IncomingMessage, place: RequestPlace): void {
    this.kept.set(request, place);
  }

  private connectionOf(socket: Socket): Connection {
    const known = this.connections.get(socket);
    if (known !== undefined) return known;
    const connection = new Connection(socket, this.isProxy);
    this.connections.set(socket, connection);
    return connection;
  }
}

/** A request in its lane. */
export class RequestPlace extends LanePlace {
  isRefused = false;
  /** Milliseconds for which another handler had the request before the one that answers it. */
  hadBeforeMs = 0;
  private isWhole = false;
  private next: () => void = NOTHING;
  private onRefused: () => void = NOTHING;

  constructor(
    private readonly lane: TrafficLane,
    private readonly connection: Connection,
    cost: number,
  ) {
    super(cost);
  }

  /**
   * Enters the lane once the connection's earlier requests are answered: `next` is called once the request has a place,
   * or `onRefused` if it gets none. A place that was kept calls at once.
   */
  enter(next: () => void, onRefused: () => void): void {
    this.next = next;
    this.onRefused = onRefused;
    if (this.phase === 'new') this.connection.accept(this);
    else if (this.isRefused) onRefused();
    else next();
  }

  start(): void {
    this.follow(this.lane.enter(this));
  }

  /** The body is here. One that came late may be held once more. */
  received(next: () => void): void {
    this.next = next;
    this.isWhole = true;
    this.follow(this.lane.received(this));
  }

  admit(): void {
    if (this.isWhole) this.lane.received(this);
    this.next();
  }

  /** @see TrafficLane.claim */
  claim(party: string): boolean {
    return this.lane.claim(this, party);
  }

  private follow(admission: Admission): void {
    if (admission === 'admitted') this.next();
    else if (admission === 'refused') this.refuse();
  }

  refuse(): void {
    this.isRefused = true;
    this.onRefused();
  }

  leave(): void {
    this.lane.leave(this);
  }

  answered(): void {
    this.connection.answered(this);
  }

  /** The client has gone. What has not begun never does; what has is counted until its handler is done. */
  abandon(): void {
    if (this.phase === 'held') this.leave();
    else if (this.phase !== 'over') setTimeout(() => this.leave(), MAX_ABANDONED_MS).unref();
  }
}

/** The requests of one connection, in the order in which they must be answered. */
export class Connection {
  private current: RequestPlace | null = null;
  private readonly ahead: RequestPlace[] = [];
  private isPaused = false;

  constructor(
    private readonly socket: Socket,
    private readonly isProxy: (socket: Socket) => boolean,
  ) {
    socket.once('close', () => this.close());
    // Node resumes a socket by itself: after each message it has read, and for a body.
    socket.on('resume', () => {
      if (this.isPaused) socket.pause();
    });
  }

  accept(place: RequestPlace): void {
    if (this.current === null) {
      this.current = place;
      place.start();
      return;
    }
    this.ahead.push(place);
    if (this.ahead.length > MAX_AHEAD) this.socket.destroy();
    else this.pause();
  }

  /** The answer of a request has left. */
  answered(place: RequestPlace): void {
    if (this.current !== place) return;
    this.current = this.ahead.shift() ?? null;
    if (place.isRefused && !this.isProxy(this.socket)) this.rest();
    else this.resume();
    this.current?.start();
  }

  /** A client that comes back at once is read later: until then the kernel holds what it sends. */
  private rest(): void {
    this.pause();
    setTimeout(() => this.resume(), UNREAD_MS).unref();
  }

  private pause(): void {
    this.isPaused = true;
    this.socket.pause();
  }

  private resume(): void {
    if (!this.isPaused || this.ahead.length > 0) return;
    this.isPaused = false;
    this.socket.resume();
  }

  private close(): void {
    this.current?.abandon();
    this.current = null;
    this.ahead.length = 0;
  }
}

/** What is longer than its route allows is answered 413 and never read: it costs as much as any refusal. */
function costOf(headers: IncomingHttpHeaders, bodyLimit: number): number {
  const length = headers['content-length'];
  if (headers['content-encoding'] !== undefined) return costOfCompressed(Number(length ?? NaN), bodyLimit);
  if (length === undefined) return headers['transfer-encoding'] === undefined ? 1 : COST_OF_UNKNOWN_LENGTH;
  if (length.length <= 3) return 1;
  const bytes = Number(length);
  return bytes > bodyLimit ? 1 : 1 + Math.floor(bytes / BYTES_PER_COST);
}

function refuse(reply: FastifyReply, requestId: string): void {
  // Gateways read no bodies.
  void reply.header('X-Latchkey-Code', 'OVERLOADED');
  sendProblem(reply, overloaded(), requestId);
}

/**
 * As much as it may inflate to: what a route takes at most. A small body may be the largest one, and only its end
 * tells.
 */
function costOfCompressed(bytes: number, limit: number): number {
  return bytes > limit ? 1 : 1 + Math.floor(limit / BYTES_PER_COST);
}

function overloaded(): DomainError {
  const { min, max } = RETRY_AFTER_SECONDS;
  const retryAfterSeconds = min + Math.floor(Math.random() * (max - min + 1));
  const seconds = `${retryAfterSeconds} ${retryAfterSeconds === 1 ? 'second' : 'seconds'}`;
  const detail = `There are more requests than can be answered in time, and nothing was done: try again in ${seconds}.`;
  return new DomainError('unavailable', 'OVERLOADED', detail, { retryAfterSeconds });
}
