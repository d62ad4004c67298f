import type { FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Cidr, clientAddress } from '../../packages/contract/src/address.js';

/** The text in place of an address where the client's is unknown: it matches no list. */
export const UNKNOWN_ADDRESS = 'unknown';

/** Why a key with an address list is refused then. */
export const ADDRESS_IS_UNKNOWN =
  'The key is restricted by address, and the address of the client is unknown: no proxy in TRUSTED_PROXIES named it in X-Forwarded-For.';

/** Gives the client's address of every request, so that all who ask get one answer. */
export class ClientIps {
  /** Of connections whose requests come without the header: their peer does not change. */
  private readonly peers = new WeakMap<Socket, string>();

  constructor(private readonly trustedProxies: readonly Cidr[]) {}

  /** The address, or `UNKNOWN_ADDRESS`. */
  of({ socket, headers }: IncomingMessage): string {
    const forwardedFor = headers['x-forwarded-for'];
    if (forwardedFor !== undefined) return addressOf(socket, forwardedFor, this.trustedProxies);
    const known = this.peers.get(socket);
    if (known !== undefined) return known;
    const address = addressOf(socket, undefined, this.trustedProxies);
    this.peers.set(socket, address);
    return address;
  }
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
