import {
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  SetMetadata,
  UseInterceptors,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ApiHeader, ApiPreconditionFailedResponse } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { catchError, type Observable, tap } from 'rxjs';
import { ProblemView } from '../common/problem.view.js';
import { preconditionOf, tagOf, VersionMismatch } from '../common/version.js';
import { LastChanges } from './last-changes.js';

const VERSIONED = 'latchkey:versioned';

/** What an answer shows of one thing: the thing itself, or a key beside its secret. */
interface VersionedAnswer {
  readonly version?: unknown;
  readonly apiKey?: { readonly version?: unknown } | undefined;
}

/** Bound by `@Versioned`: reads `If-Match` for the services, and sends the version of what is answered as `ETag`. */
@Injectable()
export class VersionInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly lastChanges: LastChanges,
  ) {}

  /** @throws DomainError 400 for an `If-Match` that is none, before anything is done */
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const precondition = preconditionOf(
      request.headers['if-match'],
      this.reflector.get<string>(VERSIONED, context.getHandler()),
    );
    if (precondition !== null && request.caller) request.caller = { ...request.caller, precondition };
    return next.handle().pipe(
      tap((answer: unknown) => tag(http.getResponse<FastifyReply>(), answer)),
      catchError(async (error: unknown) => {
        throw error instanceof VersionMismatch ? await this.lastChanges.named(error) : error;
      }),
    );
  }
}

function tag(reply: FastifyReply, answer: unknown): void {
  const { version, apiKey } = (answer ?? {}) as VersionedAnswer;
  const shown = version ?? apiKey?.version;
  if (typeof shown === 'string') void reply.header('ETag', tagOf(shown));
}

/** For routes that show one thing of this type: their answers have an `ETag`. */
export const Tagged = (resourceType: string) =>
  applyDecorators(SetMetadata(VERSIONED, resourceType), UseInterceptors(VersionInterceptor));

/** As `Tagged`, for routes that change the thing: they take `If-Match`. */
export const Versioned = (resourceType: string) =>
  applyDecorators(
    Tagged(resourceType),
    ApiHeader({
      name: 'If-Match',
      required: false,
      description:
        'The `version` that was read, in quotes, as `ETag` has it; or several, or `*`. 412 where it was changed meanwhile. ' +
        'A weak tag (`W/"…"`), as a proxy that compresses may make of it, matches nothing: use `version`.',
      schema: { type: 'string' },
    }),
    ApiPreconditionFailedResponse({
      description: '`VERSION_MISMATCH`: changed meanwhile; `version`, `changedBy` and `changedAt` say how it is now.',
      type: ProblemView,
    }),
  );
