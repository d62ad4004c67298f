import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Socket } from 'node:net';
import { type Cidr, clientAddress } from '../../packages/contract/src/address.js';

/** The text in place of an address where the client's is unknown: it matches no list. */
export const UNKNOWN_ADDRESS = 'unknown';

/** Why a key with an address list is refused then. */
export const ADDRESS_IS_UNKNOWN =
  'The key is restricted by address, and the address of the client is unknown: no proxy in TRUSTED_PROXIES named it in X-Forwarded-For.';

/** Notes the client's address of every request, so that all who ask get one answer. */
export function noteClientIps(fastify: FastifyInstance, trustedProxies: readonly Cidr[]): void {
  // Of connections whose requests come without the header: their peer does not change.
  const peers = new WeakMap<Socket, string>();
  fastify.decorateRequest('clientIp', UNKNOWN_ADDRESS);
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { socket } = request.raw;
    const forwardedFor = request.headers['x-forwarded-for'];
    const known = forwardedFor === undefined ? peers.get(socket) : undefined;
    request.clientIp = known ?? addressOf(socket, forwardedFor, trustedProxies);
    if (forwardedFor === undefined && known === undefined) peers.set(socket, request.clientIp);
    done();
  });
}

function addressOf(
  socket: Socket,
  forwardedFor: string | string[] | undefined,
  trustedProxies: readonly Cidr[],
): string {
  const chain = Array.isArray(forwardedFor) ? forwardedFor.join(',') : forwardedFor;
  return clientAddress(socket.remoteAddress ?? '', chain, trustedProxies) ?? UNKNOWN_ADDRESS;
}

/**
 * The client's address in its one text form: trusted proxies (`TRUSTED_PROXIES`) taken away, walking from the right.
 * `UNKNOWN_ADDRESS` where the last of them named no client.
 */
export function clientIp(request: FastifyRequest): string {
  return request.clientIp;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by a hook for every request. */
    clientIp: string;
  }
}
