import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Cidr, clientAddress } from '../common/address.js';

/** What the peer is called where it has no address: it matches no list. */
const UNKNOWN = 'unknown';

/** Notes the client's address of every request, so that all who ask get one answer. */
export function noteClientIps(fastify: FastifyInstance, trustedProxies: readonly Cidr[]): void {
  fastify.decorateRequest('clientIp', UNKNOWN);
  fastify.addHook('onRequest', (request, _reply, done) => {
    const forwardedFor = request.headers['x-forwarded-for'];
    // A link-local peer comes with the zone of our own interface.
    const peer = request.socket.remoteAddress?.replace(/%.*$/, '') ?? '';
    request.clientIp = clientAddress(peer, Array.isArray(forwardedFor) ? forwardedFor.join(',') : forwardedFor, trustedProxies) ?? UNKNOWN;
    done();
  });
}

/** The client's address in its one text form: trusted proxies (`TRUSTED_PROXIES`) taken away, walking from the right. */
export function clientIp(request: FastifyRequest): string {
  return request.clientIp;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by a hook for every request. */
    clientIp: string;
  }
}
