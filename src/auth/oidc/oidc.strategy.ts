import { PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { Strategy } from 'passport-jwt';
import { unauthenticated } from '../../access/access.errors.js';
import { Principal } from '../../access/caller.js';
import { callerOf } from '../../access/decorators.js';
import { GrantsReader } from '../../access/grants.reader.js';
import type { OidcConfig } from '../../config/config.js';
import type { Identities } from '../../users/identities.service.js';
import { bearerOf } from '../bearer.js';
import { CLOCK_TOLERANCE_SECONDS, type Claims, OIDC_ALGORITHMS, findSigningKey, identityOf } from './oidc-identity.js';
import type { OidcKeys } from './oidc-keys.js';

/** Tokens of the company's identity provider, as bearer tokens. */
export class OidcStrategy extends PassportStrategy(Strategy, 'oidc') {
  constructor(
    private readonly oidc: OidcConfig,
    keys: OidcKeys,
    private readonly identities: Identities,
    private readonly grants: GrantsReader,
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
      jsonWebTokenOptions: { clockTolerance: CLOCK_TOLERANCE_SECONDS },
      passReqToCallback: true,
    });
  }

  /** The user behind a token whose signature, issuer, audience and times are good. */
  async validate(request: FastifyRequest, claims: Claims): Promise<Principal | null> {
    const identity = identityOf(this.oidc, claims);
    if (identity === null) return null;
    const userId = await this.identities.admit(callerOf(request), identity);
    const holder = userId === null ? null : await this.grants.findHolder(userId);
    if (!holder?.isActive) return null;
    return new Principal('user', holder.id, holder.id, holder.name, holder.roles, holder.grants);
  }
}
