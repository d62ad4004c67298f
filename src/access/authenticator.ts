import type { ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Principal } from './caller.js';

/**
 * Turns a request's credentials into a principal. Declared here, so that the guard stays below the modules
 * that know sessions, identity providers and keys.
 */
export abstract class Authenticator {
  /**
   * The principal, or null when no credentials came. At once where memory suffices.
   * @throws DomainError 401 when credentials came and are bad.
   */
  abstract authenticate(context: ExecutionContext): Principal | null | Promise<Principal | null>;

  /**
   * As `authenticate`, and takes the client credentials of OAuth: HTTP Basic, or those in the form.
   * @throws DomainError 400 for two ways at once, 401 when credentials came and are bad.
   */
  abstract authenticateClient(context: ExecutionContext): Principal | null | Promise<Principal | null>;

  /** The text of the credential that a request presents, good or bad; null where there is none. */
  abstract presented(request: FastifyRequest): string | null;
}

/** A secret that was presented and is genuine; nothing is said about whether it still works. */
export interface ProvenSecret {
  readonly keyId: string;
  readonly kid: string;
}

/** Turns an API key that a service presents as its own credential into a principal. */
export abstract class KeyAuthenticator {
  /** null for a key that is not, or no longer, good for calling us from `ip`. At once where memory suffices. */
  abstract authenticateKey(presented: string, ip: string): Principal | null | Promise<Principal | null>;

  /**
   * The principal of a key that is known in memory and good for calling us from `ip`. Null: ask `authenticateKey`,
   * which also tells why.
   */
  abstract findPrincipal(presented: string, ip: string): Principal | null;

  /**
   * Whose secret `presented` is, whatever state its key is in, or null. Costs no I/O for what has not the shape of one.
   */
  abstract prove(presented: string): Promise<ProvenSecret | null>;

  /** The key in `Authorization: Bearer` or `X-API-Key`, or null when none is presented there. */
  abstract presentedKey(request: Pick<FastifyRequest, 'headers'>): string | null;
}

/** A gateway that may be answered. */
export interface KnownGateway {
  /** null: it came by the gateways' own listener, without a key. */
  readonly principal: Principal | null;
  /** Where it called from: the peer of the connection, and not the client it speaks of. */
  readonly ip: string;
}

/** Tells which gateway asks for its client. */
export abstract class GatewayAuthenticator {
  /** @throws DomainError 401 for a caller that is no gateway of ours */
  abstract authenticateGateway(request: FastifyRequest): KnownGateway | Promise<KnownGateway>;
}
