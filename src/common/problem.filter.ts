import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Injectable,
  Logger,
  type OnApplicationShutdown,
  Optional,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import { isDatabaseAway } from './database-errors.js';
import { DomainError, type ErrorKind, unavailable } from './domain-error.js';
import { ManagementFailures } from './management-failures.js';
import { RefusalRecorder, type RefusedRequest } from './refusal-recorder.js';
import { RepeatedLog } from './repeated-log.js';

const STATUS: Record<ErrorKind, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  missing: 404,
  'method-not-allowed': 405,
  conflict: 409,
  'precondition-failed': 412,
  'too-large': 413,
  'headers-too-large': 431,
  'unsupported-media-type': 415,
  unprocessable: 422,
  throttled: 429,
  unavailable: 503,
};

/** The body of every error answer. @see RFC 9457 */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  requestId: string;
  [member: string]: unknown;
}

const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** Turns a domain error into its problem document. */
export function problemOf(error: DomainError, requestId: string): Problem {
  const status = STATUS[error.kind];
  const { retryAfterSeconds, ...members } = error.extras;
  return {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: error.message,
    code: error.code,
    requestId,
    ...members,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  };
}

/** An answer that a problem is written to: Fastify's, or one of the short cut. */
export interface ProblemReply {
  header(name: string, value: string): unknown;
  status(status: number): unknown;
  send(body: string): unknown;
  /** Whose scheme is answered in kind; absent where there is but one. */
  readonly request?: Pick<FastifyRequest, 'headers' | 'routeOptions'>;
}

/** Writes a domain error as the answer, with the headers its status asks for. */
export function sendProblem(reply: ProblemReply, error: DomainError, requestId: string): void {
  const problem = problemOf(error, requestId);
  if (error.extras.allow !== undefined) reply.header('Allow', error.extras.allow.join(', '));
  if (problem.status === 401) reply.header('WWW-Authenticate', authenticateChallenge(error, reply.request));
  if (error.extras.retryAfterSeconds !== undefined) {
    reply.header('Retry-After', String(Math.max(1, Math.ceil(error.extras.retryAfterSeconds))));
  }
  reply.status(problem.status);
  reply.header('Cache-Control', 'no-store');
  reply.header('X-Request-Id', requestId);
  reply.header('Content-Type', PROBLEM_TYPE);
  reply.send(JSON.stringify(problem));
}

/** As `sendProblem`, where no framework is in between: the other listeners have paths of their own. */
export function writeProblem(response: ServerResponse, error: DomainError): void {
  const problem = problemOf(error, randomUUID());
  response
    .writeHead(problem.status, {
      'Cache-Control': 'no-store',
      'Content-Type': 'application/problem+json; charset=utf-8',
      'X-Request-Id': problem.requestId,
      ...(problem.status === 401 ? { 'WWW-Authenticate': authenticateChallenge(error) } : {}),
      ...(error.extras.allow === undefined ? {} : { Allow: error.extras.allow.join(', ') }),
    })
    .end(JSON.stringify(problem));
}

/**
 * The scheme that the caller tried, where the route takes it (RFC 6749, section 5.2), else Bearer. RFC 6750: the error
 * attribute only when credentials were presented and are bad.
 */
function authenticateChallenge(error: DomainError, request?: ProblemReply['request']): string {
  if (/^Basic /i.test(request?.headers.authorization ?? '') && request?.routeOptions?.config?.takesForm === true)
    return 'Basic realm="latchkey", charset="UTF-8"';
  return error.code === 'UNAUTHENTICATED' && error.extras['presented'] === undefined
    ? 'Bearer realm="latchkey"'
    : 'Bearer realm="latchkey", error="invalid_token"';
}

/** Errors of Nest and Fastify. Their own sentences are not sent: they repeat URLs and parts of bodies. */
const FRAMEWORK: Record<number, { kind: ErrorKind; code: string; detail: string }> = {
  400: { kind: 'invalid', code: 'VALIDATION_FAILED', detail: 'The request is not valid.' },
  // Of the files of the console and of /docs: a path that leads out of their folder.
  403: { kind: 'missing', code: 'ROUTE_NOT_FOUND', detail: 'There is no such route.' },
  404: { kind: 'missing', code: 'ROUTE_NOT_FOUND', detail: 'There is no such route.' },
  413: { kind: 'too-large', code: 'BODY_TOO_LARGE', detail: 'The body is larger than this route takes.' },
  414: { kind: 'invalid', code: 'VALIDATION_FAILED', detail: 'A part of the path is too long.' },
  415: { kind: 'unsupported-media-type', code: 'UNSUPPORTED_MEDIA_TYPE', detail: 'Send the body as application/json.' },
};

/** What any thrown value means to a client; null when it is a bug of ours. */
export function domainErrorOf(thrown: unknown): DomainError | null {
  if (thrown instanceof DomainError) return thrown;
  // A client that hangs up in the middle of its body: the code is that of a dependency that is away.
  const isClients = (thrown as { statusCode?: unknown })?.statusCode === 400;
  if (!isClients && isDatabaseAway(thrown)) return unavailable('A dependency is not available at the moment.', thrown);
  const status = thrown instanceof HttpException ? thrown.getStatus() : (thrown as { statusCode?: number })?.statusCode;
  const known = status === undefined ? undefined : FRAMEWORK[status];
  if (!known) return null;
  return new DomainError(known.kind, known.code, known.detail, {}, { cause: thrown });
}

const PROBES = /^\/health(\/|$)/;

/** Lines of one bug in 10 s. */
const MAX_FAILURES_TOLD = 50;

/** The one place that knows both our errors and HTTP. */
@Injectable()
@Catch()
export class ProblemFilter implements ExceptionFilter, OnApplicationShutdown {
  private readonly logger = new Logger('Problem');
  /** While something is away, every request would write the same line. */
  private readonly unavailable = new RepeatedLog((fields) => this.logger.warn(fields));
  /** Callers quote the id of a request that failed for a bug of ours, so each is written, up to a flood. */
  private readonly failures = new RepeatedLog((fields) => this.logger.error(fields), MAX_FAILURES_TOLD);

  constructor(
    private readonly refusals: RefusalRecorder,
    @Optional() private readonly management?: ManagementFailures,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): Promise<void> {
    const http = host.switchToHttp();
    return this.answer(thrown, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }

  /** Answers a request with what was thrown, once what must be recorded of it is. */
  async answer(thrown: unknown, request: RefusedRequest, reply: ProblemReply): Promise<void> {
    const error = await this.recorded(domainErrorOf(thrown), request);
    if (error) {
      if (error.kind === 'unavailable') this.tellUnavailable(error, request);
      sendProblem(reply, error, request.id);
      return;
    }
    this.failures.add(kindOf(thrown), {
      msg: 'A request failed by a bug of this server.',
      requestId: request.id,
      cause: describe(thrown),
    });
    reply.status(500);
    reply.header('Content-Type', PROBLEM_TYPE);
    reply.send(
      JSON.stringify({
        type: 'about:blank',
        title: 'Internal Server Error',
        status: 500,
        detail: 'Something went wrong on our side. Quote the requestId when you report it.',
        code: 'INTERNAL_ERROR',
        requestId: request.id,
      } satisfies Problem),
    );
  }

  onApplicationShutdown(): void {
    this.unavailable.flush();
    this.failures.flush();
  }

  private tellUnavailable(error: DomainError, request: RefusedRequest): void {
    // Probes ask again and again, and what they are told has a line of its own.
    if (PROBES.test(request.routeOptions.url ?? '')) return;
    this.management?.add(request);
    const kind = `${error.message} ${kindOf(error.cause)}`;
    this.unavailable.add(kind, { msg: error.message, requestId: request.id, cause: describe(error.cause) });
  }

  /** The error once it is in the trail; what must be recorded and cannot be is 503. */
  private async recorded(error: DomainError | null, request: RefusedRequest): Promise<DomainError | null> {
    if (error === null) return null;
    try {
      await this.refusals.record(error, request);
      return error;
    } catch (failure) {
      return unavailable('A refusal could not be recorded; nothing was done.', failure);
    }
  }
}

/** What an error has in common with its like: names and codes, which are few; a message may name a row. */
function kindOf(thrown: unknown): string {
  const { name, code, driverError, cause } = (thrown ?? {}) as {
    name?: string;
    code?: unknown;
    driverError?: unknown;
    cause?: unknown;
  };
  const own = [name, code].filter((part) => typeof part === 'string').join(' ');
  const deeper = driverError ?? cause;
  return deeper === undefined ? own : `${own} < ${kindOf(deeper)}`;
}

/** Name, message and stack only: an error object may carry a query's parameters. */
function describe(thrown: unknown): string | undefined {
  if (thrown === undefined) return undefined;
  return thrown instanceof Error
    ? (thrown.stack ?? `${thrown.name}: ${thrown.message}`)
    : 'a thrown value that is no error';
}
