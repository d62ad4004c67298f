import { Injectable } from '@nestjs/common';
import jwt from 'jsonwebtoken';
import { type KeyObject, createSecretKey } from 'node:crypto';
import { Clock } from '../common/clock.js';
import { Config, type VersionedKey } from '../config/config.js';

/** The one algorithm of our own tokens; naming it keeps `none` and key confusion out. @see RFC 8725, 3.1 */
export const SESSION_ALGORITHM = 'HS256';

/** What a session token says: whose it is, and the session row that must still be there. */
export interface SessionClaims {
  readonly sub: string;
  readonly sid: string;
  readonly exp: number;
}

const keyObjects = new WeakMap<VersionedKey, KeyObject>();

/**
 * A secret in the form that the library works with. Given bytes, it tries with every token to read them as a key in PEM
 * first, which costs more than the signature.
 */
export function secretKeyOf(secret: VersionedKey): KeyObject {
  let key = keyObjects.get(secret);
  if (key === undefined) keyObjects.set(secret, (key = createSecretKey(secret.key)));
  return key;
}

/**
 * The claims of a token that one of our secrets has signed; null for anything else. Most installations have one secret;
 * a second one is tried only while secrets are being changed.
 */
export function verifiedClaims(
  token: string,
  secrets: readonly VersionedKey[],
  options: jwt.VerifyOptions,
): jwt.JwtPayload | null {
  for (const secret of secrets) {
    try {
      const claims = jwt.verify(token, secretKeyOf(secret), options);
      return typeof claims === 'string' ? null : claims;
    } catch {
      // It throws for what is wrong with the token alone, by several classes of errors.
    }
  }
  return null;
}

/** Signs the tokens that the `session` strategy verifies. */
@Injectable()
export class SessionTokens {
  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
  ) {}

  /**
   * A bearer token for one session; it ends when the session does, at `expiresAt` at the latest. Its instants are the
   * database's.
   */
  sign(userId: string, sessionId: string, expiresAt: Date): string {
    const instants = {
      iat: Math.floor(this.clock.now().getTime() / 1000),
      exp: Math.floor(expiresAt.getTime() / 1000),
    };
    return jwt.sign({ sid: sessionId, ...instants }, secretKeyOf(this.config.jwtSecrets[0]!), {
      algorithm: SESSION_ALGORITHM,
      subject: userId,
      issuer: this.config.jwtIssuer,
      audience: this.config.jwtAudience,
    });
  }
}
