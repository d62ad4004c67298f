import { randomUUID } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { clientRequestId } from '../../access/client-request-id.js';
import type { AuditedAct } from '../../access/access-rule.js';
import type { Caller, KnownCaller, Principal } from '../../access/caller.js';
import type { ProblemReply } from '../../common/problem.filter.js';
import type { RefusedRequest } from '../../common/refusal-recorder.js';
import type { ResponseBatching, ReadyAnswer } from '../response-batching.js';
import type { RequestPlace } from '../in-flight.js';
import type { RequestLog } from '../request-log.js';
import type { AnswerHeaders } from '../security-headers.js';
import { JSON_TYPE, type JsonHead } from './json-head.js';

/** What all exchanges of a route have in common. */
export interface ExchangeSettings {
  readonly headers: AnswerHeaders;
  /** The same, of an answer that has nothing else to say. */
  readonly jsonHead: JsonHead;
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
  /** Null: those of every answer, and no others. */
  private fields: Record<string, string> | null = null;
  private statusCode = 200;
  private isTold = false;
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
    this.ownFields()[name.toLowerCase()] = value;
  }

  status(status: number): void {
    this.statusCode = status;
  }

  /** Answers 200 with JSON. */
  sendJson(body: string): void {
    if (this.settings.isLeaving()) this.header('content-type', JSON_TYPE);
    this.leave(body);
  }

  /** Answers with what was said before by `status` and `header`. */
  send(body: string): void {
    this.ownFields();
    this.leave(body);
  }

  write(): void {
    const { incoming, response, body } = this;
    response.on('finish', this.tell).on('error', this.tell);
    const bytes = Buffer.byteLength(body);
    response.writeHead(this.statusCode, this.head(bytes));
    // Text of ASCII is the same bytes in both, and Node need not look at each character.
    response.end(body, bytes === body.length ? 'latin1' : 'utf8');
    // Past its end: until then Node keeps the request.
    incoming.read();
  }

  /** Gives the place back, and lets the answer leave with the others of this turn. */
  private leave(body: string): void {
    this.body = body;
    if (this.settings.isLeaving()) this.ownFields()['connection'] = 'close';
    this.place.leave();
    this.settings.together.add(this);
  }

  private ownFields(): Record<string, string> {
    this.fields ??= { ...this.settings.headers, 'x-request-id': this.id };
    return this.fields;
  }

  private head(bytes: number): OutgoingHttpHeaders | OutgoingHttpHeader[] {
    const { fields } = this;
    if (fields === null) return this.settings.jsonHead.of(this.id, bytes);
    fields['content-length'] = String(bytes);
    return fields;
  }

  private readonly tell = (): void => {
    if (this.isTold) return;
    this.isTold = true;
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
