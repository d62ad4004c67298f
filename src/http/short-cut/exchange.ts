import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { clientRequestId } from '../../access/client-request-id.js';
import type { AuditedAct } from '../../access/access-rule.js';
import type { Caller, KnownCaller, Principal } from '../../access/caller.js';
import type { ProblemReply } from '../../common/problem.filter.js';
import type { RefusedRequest } from '../../common/refusal-recorder.js';
import type { ResponseBatching, ReadyAnswer } from '../response-batching.js';
import type { RequestPlace } from '../in-flight.js';
import type { RequestLog } from '../request-log.js';
import type { AnswerHeaders } from '../security-headers.js';

const JSON_TYPE = 'application/json; charset=utf-8';

/** What all exchanges of a route have in common. */
export interface ExchangeSettings {
  readonly headers: AnswerHeaders;
  /** The pattern of the route. */
  readonly url: string;
  readonly audited: AuditedAct | undefined;
  readonly refusedAs: AuditedAct | undefined;
  readonly together: ResponseBatching;
  readonly log: RequestLog;
  /** Whether answers close their connections. */
  readonly isLeaving: () => boolean;
}

/** A request that the short cut answers, and its answer: what Fastify's request and reply are to the ordinary route. */
export class Exchange implements ReadyAnswer, ProblemReply, RefusedRequest {
  readonly id = randomUUID();
  readonly method = 'POST';
  readonly params = {};
  readonly routeOptions: ExchangeSettings;
  readonly audited: AuditedAct;
  private readonly fields: Record<string, string>;
  private statusCode = 200;
  private body = '';
  private knownCaller: Caller | undefined;

  constructor(
    private readonly settings: ExchangeSettings,
    private readonly incoming: IncomingMessage,
    readonly response: ServerResponse,
    private readonly place: RequestPlace,
    readonly ip: string,
    private readonly arrivedMs: number,
  ) {
    this.routeOptions = settings;
    this.audited = (settings.audited ?? settings.refusedAs)!;
    this.fields = { ...settings.headers, 'x-request-id': this.id };
  }

  get requestId(): string {
    return this.id;
  }

  get caller(): Caller | undefined {
    return this.knownCaller;
  }

  /** Notes who asks, as the guard of the ordinary route does. */
  callFor(principal: Principal): KnownCaller {
    const { audited } = this.settings;
    const caller = {
      principal,
      ip: this.ip,
      requestId: this.id,
      clientRequestId: clientRequestId(this.incoming.headers),
      action: audited?.action ?? null,
    };
    this.knownCaller = caller;
    return caller;
  }

  header(name: string, value: string): void {
    this.fields[name.toLowerCase()] = value;
  }

  status(status: number): void {
    this.statusCode = status;
  }

  /** Answers with JSON. */
  sendJson(body: string): void {
    this.fields['content-type'] = JSON_TYPE;
    this.send(body);
  }

  /** Gives the place back, and lets the answer leave with the others of this turn. */
  send(body: string): void {
    this.body = body;
    if (this.settings.isLeaving()) this.fields['connection'] = 'close';
    this.place.leave();
    this.settings.together.add(this);
  }

  write(): void {
    const { incoming, response, fields, body } = this;
    response.on('finish', this.tell).on('error', this.tell);
    fields['content-length'] = String(Buffer.byteLength(body));
    response.writeHead(this.statusCode, fields);
    response.end(body);
    // Past its end: until then Node keeps the request.
    incoming.read();
  }

  private readonly tell = (): void => {
    this.response.off('finish', this.tell).off('error', this.tell);
    this.place.answered();
    this.settings.log.tell({
      requestId: this.id,
      clientRequestId: this.knownCaller?.clientRequestId,
      method: this.method,
      route: this.settings.url,
      status: this.statusCode,
      elapsedMs: performance.now() - this.arrivedMs,
      principal: this.knownCaller?.principal,
      clientIp: this.ip,
    });
  };
}
