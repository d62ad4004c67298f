import type { FastifyRequest } from 'fastify';

/** A credential for another service: keys of ours have no dots. */
const JWT_SHAPE = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/** What a client presented: a key, nothing, or things that contradict each other. */
export type Presented = { readonly key: string } | 'nothing' | 'contradiction';

/**
 * The key a gateway's client presented in `Authorization: Bearer` or `X-API-Key`, as the gateway passed it on. Another
 * scheme of `Authorization`, and a JWT beside an `X-API-Key`, are meant for another service. Two keys that differ, or a
 * header that came twice, are a contradiction: the gateway, the service behind it and we might each believe another.
 */
export function presentedKey({ headers, raw }: FastifyRequest): Presented {
  const { authorization, 'x-api-key': apiKeys } = raw.headersDistinct;
  if ((authorization?.length ?? 0) > 1 || (apiKeys?.length ?? 0) > 1) return 'contradiction';
  const bearer = /^Bearer(?: +(.*))?$/i.exec(headers.authorization ?? '');
  const token = bearer === null ? '' : (bearer[1] ?? '').trim();
  const apiKey = String(headers['x-api-key'] ?? '');
  if (apiKey === '') return token === '' ? 'nothing' : { key: token };
  return token === '' || token === apiKey || JWT_SHAPE.test(token) ? { key: apiKey } : 'contradiction';
}
