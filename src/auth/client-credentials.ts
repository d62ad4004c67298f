import type { FastifyRequest } from 'fastify';
import { DomainError } from '../common/domain-error.js';
import { isForm } from '../common/form.js';

/**
 * The secret that an OAuth client authenticates with: HTTP Basic, or `client_secret` in the form. The name of the
 * client may be any, since the secret says whose it is. null where neither is given, or Basic is malformed.
 *
 * @see RFC 6749, section 2.3.1
 */
export function clientSecretOf(request: FastifyRequest): string | null {
  return basicSecretOf(request.headers.authorization) ?? formSecretOf(request);
}

/**
 * A client that authenticates in two ways contradicts itself.
 *
 * @throws DomainError 400
 * @see RFC 6749, section 2.3
 */
export function requireOneWay(request: FastifyRequest): void {
  const { authorization, 'x-api-key': apiKey } = request.headers;
  const ways = [authorization, apiKey, formSecretOf(request)].filter(Boolean);
  if (ways.length <= 1) return;
  throw new DomainError(
    'invalid',
    'VALIDATION_FAILED',
    'Authenticate in one way: Authorization, X-API-Key, or client_id and client_secret in the form.',
  );
}

function basicSecretOf(authorization: string | undefined): string | null {
  const encoded = /^Basic +([\w+/-]+={0,2})$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return null;
  const credentials = Buffer.from(encoded, 'base64').toString();
  const colon = credentials.indexOf(':');
  return colon === -1 ? null : percentDecoded(credentials.slice(colon + 1));
}

/**
 * Each part of Basic is percent-encoded. A plus stays one: no key has the space that it could stand for, and clients
 * that do not encode send it as it is.
 */
function percentDecoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function formSecretOf(request: FastifyRequest): string | null {
  if (!isForm(request)) return null;
  const { client_secret: secret } = (request.body ?? {}) as { client_secret?: unknown };
  return typeof secret === 'string' ? secret : null;
}
