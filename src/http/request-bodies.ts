import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DomainError, type FieldError, validationFailed } from '../common/domain-error.js';
import { CompressedBody } from '../common/compressed-body.js';
import { RefusedBody } from '../common/refused-body.js';
import { readForm } from './form-text.js';
import { readJson } from './json-text.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set on the few routes that take a form. */
    takesForm?: boolean;
  }
}

/**
 * JSON is the one kind of body, whatever its length, and on routes that say so a form; an absent one is a request with
 * defaults. Either may be compressed by gzip. Other content types and encodings are 415.
 */
export function acceptOnlyJson(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    done(null, jsonBody(request, body as Buffer));
  });
  fastify.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'buffer' }, (request, body, done) => {
    done(
      null,
      request.routeOptions.config.takesForm === true ? formBody(request, body as Buffer) : otherBody(body as Buffer),
    );
  });
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, otherBody(body as Buffer));
  });
}

function otherBody(body: Buffer): RefusedBody | undefined {
  return body.length === 0 ? undefined : new RefusedBody(unsupported('Send the body as application/json.'));
}

function formBody(request: FastifyRequest, body: Buffer): unknown {
  return decoded(request, body, (plain) => {
    const reading = readForm(plain);
    return 'value' in reading ? reading.value : unreadable(reading.errors);
  });
}

function jsonBody(request: FastifyRequest, body: Buffer): unknown {
  return decoded(request, body, (plain) => {
    if (plain.length === 0) return undefined;
    const reading = readJson(plain);
    return 'value' in reading ? reading.value : unreadable(reading.errors);
  });
}

/** One layer of gzip is taken; it is inflated behind the guard. */
function decoded({ headers, routeOptions }: FastifyRequest, body: Buffer, read: (plain: Buffer) => unknown): unknown {
  const encoding = headers['content-encoding']?.toLowerCase();
  if (encoding === undefined || encoding === 'identity') return read(body);
  if (encoding === 'gzip' || encoding === 'x-gzip') return new CompressedBody(body, routeOptions.bodyLimit, read);
  return new RefusedBody(unsupported('Send the body without a content encoding, or with gzip once.'));
}

function unreadable(errors: readonly FieldError[]): RefusedBody {
  const [first] = errors;
  // With a path it is a field like others, whose name may be a secret.
  if (first!.path !== '') return new RefusedBody(validationFailed(errors));
  const detail = `${first!.message[0]!.toUpperCase()}${first!.message.slice(1)}.`;
  return new RefusedBody(new DomainError('invalid', 'VALIDATION_FAILED', detail, { errors }));
}

function unsupported(message: string): DomainError {
  return new DomainError('unsupported-media-type', 'UNSUPPORTED_MEDIA_TYPE', message);
}
