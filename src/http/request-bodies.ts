import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DomainError } from '../common/domain-error.js';
import { RefusedBody } from '../common/refused-body.js';
import { readJson } from './json-text.js';

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
  if ('value' in reading) return reading.value;
  const [first] = reading.errors;
  const detail = first!.path === '' ? `${first!.message[0]!.toUpperCase()}${first!.message.slice(1)}.` : `${first!.path}: ${first!.message}`;
  return new RefusedBody(new DomainError('invalid', 'VALIDATION_FAILED', detail, { errors: reading.errors }));
}

function unsupported(message: string): DomainError {
  return new DomainError('unsupported-media-type', 'UNSUPPORTED_MEDIA_TYPE', message);
}
