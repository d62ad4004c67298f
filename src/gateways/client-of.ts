import type { FastifyRequest } from 'fastify';
import { UNKNOWN_ADDRESS, clientIp } from '../access/client-ip.js';
import { type Cidr, addressIn, formatAddress, matches } from '../../packages/contract/src/address.js';

/** The peer of the connection, in the one text of addresses. */
export function peerOf(request: FastifyRequest): string {
  const peer = parsedPeer(request);
  return peer === null ? UNKNOWN_ADDRESS : formatAddress(peer);
}

/**
 * The address of the client that a gateway speaks of, or undefined when no trusted proxy named one: without an address,
 * a key that is restricted by address is refused. The gateway's own address never stands in for it, since a key that is
 * allowed from the gateway's network would be allowed from anywhere.
 */
export function clientOf(request: FastifyRequest, trustedProxies: readonly Cidr[]): string | undefined {
  const peer = parsedPeer(request);
  if (peer === null || !matches(trustedProxies, peer)) return undefined;
  const ip = clientIp(request);
  return ip === UNKNOWN_ADDRESS ? undefined : ip;
}

function parsedPeer(request: FastifyRequest) {
  return addressIn(request.socket.remoteAddress ?? '');
}
