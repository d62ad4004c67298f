import { type ExecutionContext, Injectable } from '@nestjs/common';
import { AuthGuard } from '@nestjs/passport';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { unauthenticated } from '../access/access.errors.js';
import { Authenticator, KeyAuthenticator } from '../access/authenticator.js';
import type { Principal } from '../access/caller.js';
import { clientIp } from '../access/client-ip.js';
import { type MaybePromise, whenKnown } from '../common/maybe-promise.js';
import { DomainError } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { bearerOf } from './bearer.js';
import { clientSecretOf, requireOneWay } from './client-credentials.js';
import { SessionCookie } from './session-cookie.js';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Bearer token, session cookie or API key: exactly one of them speaks for a request. */
@Injectable()
export class CredentialsAuthenticator extends Authenticator {
  private readonly tokens: { canActivate(context: ExecutionContext): unknown };

  constructor(
    private readonly keys: KeyAuthenticator,
    private readonly config: Config,
    private readonly cookie: SessionCookie,
  ) {
    super();
    this.tokens = new (tokenGuard(config.oidc === null ? ['session'] : ['session', 'oidc']))();
  }

  authenticate(context: ExecutionContext): Principal | null | Promise<Principal | null> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    requireOneCredential(request);
    const key = this.keys.presentedKey(request);
    return key === null ? this.authenticateByToken(context, request) : this.authenticateByKey(key, request);
  }

  authenticateClient(context: ExecutionContext): Principal | null | Promise<Principal | null> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    requireOneWay(request);
    requireOneCredential(request);
    const secret = clientSecretOf(request);
    return secret === null ? this.authenticate(context) : this.authenticateByKey(secret, request);
  }

  presented(request: FastifyRequest): string | null {
    return this.keys.presentedKey(request) ?? bearerOf(request) ?? this.cookie.tokenOf(request);
  }

  private authenticateByKey(key: string, request: FastifyRequest): MaybePromise<Principal> {
    return whenKnown(this.keys.authenticateKey(key, clientIp(request)), requireKnown);
  }

  private async authenticateByToken(
    context: ExecutionContext,
    request: FastifyRequest & { user?: Principal | null },
  ): Promise<Principal | null> {
    if (this.cookie.isRepeated(request)) throw this.repeatedCookie(context, request);
    const cookie = this.cookie.tokenOf(request);
    if (request.headers.authorization === undefined && cookie === null) return null;
    await this.tokens.canActivate(context);
    const principal = requireKnown(request.user ?? null);
    if (cookie !== null && !SAFE_METHODS.has(request.method)) this.requireOwnOrigin(request);
    return principal;
  }

  /** A neighbouring site can put a cookie of our name beside ours, and a browser does not say which is whose. */
  private repeatedCookie(context: ExecutionContext, request: FastifyRequest): DomainError {
    void context.switchToHttp().getResponse<FastifyReply>().header('Set-Cookie', this.cookie.allEnded(request));
    return unauthenticated(
      true,
      'The session cookie came more than once, so none of them counts, and all are removed. Sign in again.',
    );
  }

  /** A cookie is sent by any page the browser shows; only our own pages may use it to change something. */
  private requireOwnOrigin(request: FastifyRequest): void {
    if (request.headers.origin === new URL(this.config.publicUrl).origin) return;
    throw new DomainError(
      'forbidden',
      'ORIGIN_NOT_ALLOWED',
      'A request with the session cookie must come from the console’s own origin.',
    );
  }
}

/** Runs passport's strategies and leaves the answer to us: null where none of them knows the token. */
function tokenGuard(strategies: string[]) {
  return class TokenGuard extends AuthGuard(strategies) {
    override handleRequest<T>(error: unknown, principal: T | false, info: unknown): T {
      if (error) throw error as Error;
      // A strategy that could not find out says so in its info; that is not the token's fault.
      const unavailable = [info].flat().find((one) => one instanceof DomainError && one.kind === 'unavailable');
      if (!principal && unavailable) throw unavailable as DomainError;
      return (principal || null) as T;
    }
  };
}

function requireKnown(principal: Principal | null): Principal {
  if (principal === null) throw unauthenticated(true);
  return principal;
}

/** Two credentials in one request contradict each other, even when both are good: who would have done it? */
function requireOneCredential(request: FastifyRequest): void {
  if (request.headers['x-api-key'] === undefined || request.headers.authorization === undefined) return;
  throw unauthenticated(true, 'Present either X-API-Key or Authorization, not both.');
}
