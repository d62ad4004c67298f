import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { type JwtFromRequestFunction, Strategy } from 'passport-jwt';
import { Principal } from '../access/caller.js';
import { GrantsReader } from '../access/grants.reader.js';
import { Clock } from '../common/clock.js';
import { isUuid } from '../common/uuid.js';
import { Config, type VersionedKey } from '../config/config.js';
import { EnrolmentDuty } from '../users/second-factor/enrolment-duty.js';
import { Sessions } from '../users/sessions.service.js';
import { bearerOf, sessionCookieOf } from './bearer.js';
import { SESSION_ALGORITHM, type SessionClaims, verifiedClaims } from './session-tokens.js';

const presentedToken: JwtFromRequestFunction<FastifyRequest> = (request) => bearerOf(request) ?? sessionCookieOf(request);

/** The secret that has signed a token; the first one if none has, with which the strategy then refuses it. */
function signerOf(token: string, secrets: readonly VersionedKey[]): Buffer {
  if (secrets.length === 1) return secrets[0]!.key;
  const hasSigned = (one: VersionedKey) => verifiedClaims(token, [one], { algorithms: [SESSION_ALGORITHM], ignoreExpiration: true }) !== null;
  return (secrets.find(hasSigned) ?? secrets[0]!).key;
}

/** Our own tokens, as bearer token or cookie. A disabled user, a changed password or a sign-out ends them at once. */
@Injectable()
export class SessionStrategy extends PassportStrategy(Strategy, 'session') {
  constructor(
    config: Config,
    private readonly sessions: Sessions,
    private readonly grants: GrantsReader,
    private readonly duty: EnrolmentDuty,
    private readonly clock: Clock,
  ) {
    super({
      jwtFromRequest: presentedToken,
      secretOrKeyProvider: (_request, token, done) => done(null, signerOf(String(token), config.jwtSecrets)),
      algorithms: [SESSION_ALGORITHM],
      issuer: config.jwtIssuer,
      audience: config.jwtAudience,
      // By the database's clock, in `validate`: the library knows the host's alone.
      ignoreExpiration: true,
    });
  }

  /** The user as he is now: roles and grants are never taken from the token. */
  async validate(claims: Partial<SessionClaims>): Promise<Principal | null> {
    const { sub, sid, exp } = claims;
    if (!isUuid(sub) || !isUuid(sid) || typeof exp !== 'number' || exp * 1000 <= this.clock.now().getTime()) return null;
    const [isOpen, holder, hasPasswordAlone] = await Promise.all([
      this.sessions.isOpen(sid, sub),
      this.grants.findHolder(sub),
      this.duty.hasPasswordAlone(sub),
    ]);
    if (!isOpen || !holder?.isActive) return null;
    const mustEnrol = hasPasswordAlone && this.duty.concerns(holder.grants);
    return new Principal('user', holder.id, holder.id, holder.name, holder.roles, holder.grants, sid, mustEnrol);
  }
}
