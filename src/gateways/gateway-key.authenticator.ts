import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { GatewayAuthenticator, KeyAuthenticator, type KnownGateway } from '../access/authenticator.js';
import type { Principal } from '../access/caller.js';
import { DomainError } from '../common/domain-error.js';
import { peerOf } from './client-of.js';
import { GatewayListener } from './gateway-listener.js';

/** Where a gateway shows its own key, in the form of Node's header names. */
export const GATEWAY_KEY_HEADER = 'x-latchkey-gateway-key';

/**
 * Knows a gateway by its service key, or by the listener it came through. A key that is shown must be good, whatever
 * the listener. Its address list is held against the peer of the connection, which is the gateway, and not its client.
 */
@Injectable()
export class GatewayKeyAuthenticator extends GatewayAuthenticator {
  constructor(
    private readonly keys: KeyAuthenticator,
    private readonly listener: GatewayListener,
  ) {
    super();
  }

  authenticateGateway(request: FastifyRequest): KnownGateway | Promise<KnownGateway> {
    const ip = peerOf(request);
    const key = request.headers[GATEWAY_KEY_HEADER];
    if (key === undefined) {
      if (this.listener.received(request.raw)) return { principal: null, ip };
      throw unknownGateway('This needs the key of the gateway in X-Latchkey-Gateway-Key.');
    }
    const principal = this.keys.authenticateKey(String(key), ip);
    return principal instanceof Promise
      ? principal.then((admittedAs) => admitted(admittedAs, ip))
      : admitted(principal, ip);
  }
}

function admitted(principal: Principal | null, ip: string): KnownGateway {
  if (principal === null)
    throw unknownGateway('The key in X-Latchkey-Gateway-Key is not valid (any more), or not from this address.');
  return { principal, ip };
}

/** A code of its own, so that a gateway can tell its own fault from its client's. */
function unknownGateway(detail: string): DomainError {
  return new DomainError('unauthenticated', 'GATEWAY_UNAUTHENTICATED', detail);
}
