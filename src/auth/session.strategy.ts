import { Injectable, Logger } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import type { KeyObject } from 'node:crypto';
import { Strategy } from 'passport-jwt';
import { Principal } from '../access/caller.js';
import { GrantsReader } from '../access/grants.reader.js';
import { Clock } from '../common/clock.js';
import { isUuid } from '../common/uuid.js';
import { Config, type VersionedKey } from '../config/config.js';
import { EnrolmentDuty } from '../users/second-factor/enrolment-duty.js';
import { Sessions } from '../users/sessions.service.js';
import { bearerOf } from './bearer.js';
import { SessionCookie } from './session-cookie.js';
import { SESSION_ALGORITHM, type SessionClaims, secretKeyOf, verifiedClaims } from './session-tokens.js';

/** Sent by a page that asks by itself, without a person at it: such a request is no use of the session. */
const BACKGROUND_HEADER = 'x-latchkey-background';

/** The secret that has signed a token; the first one if none has, with which the strategy then refuses it. */
function signerOf(token: string, secrets: readonly VersionedKey[]): KeyObject {
  if (secrets.length === 1) return secretKeyOf(secrets[0]!);
  const hasSigned = (one: VersionedKey) =>
    verifiedClaims(token, [one], { algorithms: [SESSION_ALGORITHM], ignoreExpiration: true }) !== null;
  return secretKeyOf(secrets.find(hasSigned) ?? secrets[0]!);
}

/**
 * Our own tokens, as bearer token or cookie. They end with a sign-out, with a new password, and when the user is
 * deactivated.
 */
@Injectable()
export class SessionStrategy extends PassportStrategy(Strategy, 'session') {
  private readonly logger = new Logger('Sessions');

  constructor(
    private readonly config: Config,
    cookie: SessionCookie,
    private readonly sessions: Sessions,
    private readonly grants: GrantsReader,
    private readonly duty: EnrolmentDuty,
    private readonly clock: Clock,
  ) {
    super({
      jwtFromRequest: (request: FastifyRequest) => bearerOf(request) ?? cookie.tokenOf(request),
      passReqToCallback: true,
      // The strategy hands it on to jsonwebtoken, which takes a key object, though its types name text and bytes alone.
      secretOrKeyProvider: (_request, token, done) =>
        done(null, signerOf(String(token), config.jwtSecrets) as unknown as Buffer),
      algorithms: [SESSION_ALGORITHM],
      issuer: config.jwtIssuer,
      audience: config.jwtAudience,
      // By the database's clock, in `validate`: the library knows the host's alone.
      ignoreExpiration: true,
    });
  }

  validate(request: FastifyRequest, claims: Partial<SessionClaims>): Promise<Principal | null> {
    return this.find(claims, request.headers[BACKGROUND_HEADER] === undefined && request.isRecheck === undefined);
  }

  /**
   * The user as they are now: roles and grants are never taken from the token. `isUse`: the session is in use by this.
   */
  async find({ sub, sid, exp }: Partial<SessionClaims>, isUse = true): Promise<Principal | null> {
    if (!isUuid(sub) || !isUuid(sid) || typeof exp !== 'number' || exp * 1000 <= this.clock.now().getTime())
      return null;
    const [use, holder, hasPasswordAlone] = await Promise.all([
      this.sessions.findUse(sid, sub, this.config.sessionIdleSeconds),
      this.grants.findHolder(sub),
      this.duty.hasPasswordAlone(sub),
    ]);
    if (use === null || !holder?.isActive) return null;
    if (use.isNoteDue && isUse) await this.noteUse(sid);
    const { id, name, roles, grants, hasTemporaryPassword } = holder;
    const mustEnrol = hasPasswordAlone && this.duty.concerns(grants);
    return new Principal('user', id, id, name, roles, grants, sid, hasTemporaryPassword, mustEnrol);
  }

  /** What is asked goes on without it: at worst the session ends early, and its user signs in again. */
  private async noteUse(sessionId: string): Promise<void> {
    try {
      await this.sessions.noteUse(sessionId);
    } catch (error) {
      this.logger.warn({ msg: 'The use of a session could not be noted.', cause: (error as Error).message });
    }
  }
}
