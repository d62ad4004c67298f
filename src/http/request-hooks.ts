import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type ClientIps, UNKNOWN_ADDRESS } from '../access/client-ip.js';
import type { DomainError } from '../common/domain-error.js';
import { sendProblem } from '../common/problem.filter.js';
import type { ResponseBatching, ReadyAnswer } from './response-batching.js';
import { headProblem } from './request-head.js';
import type { RequestLog } from './request-log.js';
import { urlProblem } from './request-url.js';
import type { AnswerHeaders } from './security-headers.js';

// Fastify pays for each hook of a kind on every request: there is one of each.

/** What a request meets before its route. */
export interface ArrivalSettings {
  readonly headersOf: (url: string) => AnswerHeaders | null;
  readonly clientIps: ClientIps;
  readonly maxHeaderLines: number;
  /** What is answered to a request that no route takes; null: 404. */
  readonly methodProblem: (request: FastifyRequest) => DomainError | null;
}

/** Sets the headers of every answer, refuses heads and URLs that are wrong, and notes the client's address. */
export function meetRequests(fastify: FastifyInstance, settings: ArrivalSettings): void {
  const { headersOf, clientIps, maxHeaderLines, methodProblem } = settings;
  fastify.decorateRequest('clientIp', UNKNOWN_ADDRESS);
  fastify.addHook('onRequest', (request, reply, done) => {
    const headers = headersOf(request.url);
    if (headers !== null) void reply.headers(headers);
    void reply.header('X-Request-Id', request.id);
    const problem =
      headProblem(request.raw.rawHeaders, maxHeaderLines) ??
      urlProblem(request.url) ??
      (request.is404 ? methodProblem(request) : null);
    if (problem !== null) return sendProblem(reply, problem, request.id);
    request.clientIp = clientIps.of(request.raw);
    done();
  });
}

/**
 * Gives back the places of a request once its answer is made, also after an error, and lets the answers of a turn leave
 * together. A stream is sent after its places were given back, so that a slow reader keeps none. While `isLeaving`,
 * each answer closes its connection: the one way to send a client elsewhere without failing a request of it.
 *
 * Streams leave synchronously: until they are piped no code would hear of their errors. So do refusals of an overloaded
 * server, for which the end of the turn is far.
 */
export function sendAnswers(fastify: FastifyInstance, together: ResponseBatching, isLeaving: () => boolean): void {
  fastify.decorateRequest('leaveLane', null);
  fastify.addHook('onSend', (request, reply, payload, done) => {
    if (isLeaving()) void reply.header('Connection', 'close');
    request.leaveLane?.();
    const { place } = request;
    place?.leave();
    if (typeof payload !== 'string' || place?.isRefused === true) return done(null, payload);
    together.add(new FastifyAnswer(reply, payload, done));
  });
}

class FastifyAnswer implements ReadyAnswer {
  constructor(
    private readonly reply: FastifyReply,
    private readonly payload: string,
    private readonly done: (error: null, payload: string) => void,
  ) {}

  get requestId(): string {
    return this.reply.request.id;
  }

  get response() {
    return this.reply.raw;
  }

  write(): void {
    this.done(null, this.payload);
  }
}

/** Lets the next request of a connection begin once an answer has left, and tells of the request. */
export function tellAnswers(fastify: FastifyInstance, log: Pick<RequestLog, 'tell'>): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const { place } = request;
    place?.answered();
    log.tell({
      requestId: request.id,
      clientRequestId: request.caller?.clientRequestId,
      method: request.method,
      route: request.routeOptions.url,
      status: reply.statusCode,
      elapsedMs: reply.elapsedTime + (place?.hadBeforeMs ?? 0),
      principal: request.caller?.principal,
      clientIp: request.clientIp,
    });
    done();
  });
}
