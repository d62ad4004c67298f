import { PassportStrategy } from '@nestjs/passport';
import jwt from 'jsonwebtoken';
import type { FastifyRequest } from 'fastify';
import { Strategy } from 'passport-jwt';
import { unauthenticated } from '../../access/access.errors.js';
import { Principal } from '../../access/caller.js';
import { callerOf } from '../../access/decorators.js';
import { GrantsReader } from '../../access/grants.reader.js';
import type { OidcConfig } from '../../config/config.js';
import type { Identities } from '../../users/identities.service.js';
import type { Clock } from '../../common/clock.js';
import { bearerOf } from '../bearer.js';
import { BEARER_REFUSALS, bearerRefusal } from './access-token.js';
import { type Claims, OIDC_ALGORITHMS, findSigningKey, identityOf, isInTime } from './oidc-identity.js';
import type { OidcKeys } from './oidc-keys.js';
import type { RefusedTokens } from './refused-tokens.js';

/** Tokens of the company's identity provider, as bearer tokens. */
export class OidcStrategy extends PassportStrategy(Strategy, 'oidc') {
  constructor(
    private readonly oidc: OidcConfig,
    keys: OidcKeys,
    private readonly identities: Identities,
    private readonly grants: GrantsReader,
    private readonly clock: Clock,
    private readonly refused: RefusedTokens,
  ) {
    super({
      jwtFromRequest: bearerOf as never,
      secretOrKeyProvider: (_request: unknown, token: string, done: (error: unknown, key?: string) => void) => {
        findSigningKey(oidc, keys, token).then(
          (key) => (key === null ? done(unauthenticated(true)) : done(null, key)),
          (error: unknown) => done(error),
        );
      },
      algorithms: [...OIDC_ALGORITHMS],
      issuer: oidc.issuer,
      audience: oidc.audience,
      // By the database's clock, in `validate`: the library knows the host's alone.
      ignoreExpiration: true,
      jsonWebTokenOptions: { ignoreNotBefore: true },
      passReqToCallback: true,
    });
  }

  /**
   * The user behind a token whose signature, issuer and audience are good, or null.
   *
   * @throws DomainError 401 with the reason when it is no access token for this API: it is the provider's all the same
   */
  async validate(request: FastifyRequest, claims: Claims): Promise<Principal | null> {
    const now = this.clock.now();
    const identity = isInTime(claims, now) ? identityOf(this.oidc, claims, now) : null;
    if (identity === null) return null;
    const refusal = bearerRefusal(this.oidc, typeOf(bearerOf(request)!), claims);
    if (refusal !== null) {
      this.refused.note(refusal, claims);
      throw unauthenticated(true, BEARER_REFUSALS[refusal]);
    }
    const userId = await this.identities.admit(callerOf(request), identity);
    const holder = userId === null ? null : await this.grants.findHolder(userId);
    if (!holder?.isActive) return null;
    return new Principal('user', holder.id, holder.id, holder.name, holder.roles, holder.grants);
  }
}

/** The member `typ` of a token's header; its signature was checked. */
function typeOf(token: string): unknown {
  return jwt.decode(token, { complete: true })?.header.typ;
}
