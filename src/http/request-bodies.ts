import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Observable } from 'rxjs';
import { DomainError } from '../common/domain-error.js';
import { readJson } from './json-text.js';

/** Stands in for a body that is refused, until the guard has asked for credentials: 401 comes before 400 and 415. */
class RefusedBody {
  constructor(readonly error: DomainError) {}
}

/**
 * JSON is the one kind of body, whatever its length; an absent one is a request with defaults. Other content types
 * and encodings are 415. Adds no parser for a content type that a module of its own reads (a form, say).
 */
export function acceptOnlyJson(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    done(null, jsonBody(request, body as Buffer));
  });
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, body.length === 0 ? undefined : new RefusedBody(unsupported('Send the body as application/json.')));
  });
}

function jsonBody(request: FastifyRequest, body: Buffer): unknown {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return new RefusedBody(unsupported('Send the body without a content encoding.'));
  }
  if (body.length === 0) return undefined;
  const reading = readJson(body);
  // The validation pipe takes `null` for absent, and no route takes anything but an object.
  if ('value' in reading) return isObject(reading.value) ? reading.value : notAnObject();
  const [first] = reading.errors;
  const detail = first!.path === '' ? `${first!.message[0]!.toUpperCase()}${first!.message.slice(1)}.` : `${first!.path}: ${first!.message}`;
  return new RefusedBody(new DomainError('invalid', 'VALIDATION_FAILED', detail, { errors: reading.errors }));
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function notAnObject(): RefusedBody {
  const message = 'the body must be a JSON object';
  return new RefusedBody(new DomainError('invalid', 'VALIDATION_FAILED', 'The body must be a JSON object.', { errors: [{ path: '', message }] }));
}

function unsupported(message: string): DomainError {
  return new DomainError('unsupported-media-type', 'UNSUPPORTED_MEDIA_TYPE', message);
}

/** Throws what the parser found, now that the guard has let the caller in. Must be the first interceptor. */
@Injectable()
export class RefusedBodies implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { body } = context.switchToHttp().getRequest<FastifyRequest>();
    if (body instanceof RefusedBody) throw body.error;
    return next.handle();
  }
}
