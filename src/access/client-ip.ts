import type { FastifyRequest } from 'fastify';

/**
 * The client's address: Fastify walks the chain of trusted proxies from the right (`trustProxy` is set from
 * `TRUSTED_PROXIES`); an IPv4 address mapped into IPv6 is given as IPv4.
 */
export function clientIp(request: FastifyRequest): string {
  return request.ip.startsWith('::ffff:') && request.ip.includes('.') ? request.ip.slice(7) : request.ip;
}
