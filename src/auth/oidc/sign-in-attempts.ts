import { Injectable } from '@nestjs/common';
import jwt from 'jsonwebtoken';
import { randomBytes } from 'node:crypto';
import { Clock } from '../../common/clock.js';
import { Config } from '../../config/config.js';
import { secretKeyOf, verifiedClaims } from '../session-tokens.js';

/** Longer than anybody needs for a password and a second factor; after that one begins again. */
export const ATTEMPT_SECONDS = 600;

const ALGORITHM = 'HS256';

/** A sign-in at the identity provider, begun in one browser and to be ended in the same. */
export interface SignInAttempt {
  /** Comes back in the URL: who ends the sign-in is who began it (RFC 6749, 10.12). */
  readonly state: string;
  /** Comes back in the ID token: it was made for this sign-in. */
  readonly nonce: string;
  /** Proves to the provider that the code is redeemed by who asked for it (RFC 7636). */
  readonly verifier: string;
  /** Where to go afterwards: an address of the console. */
  readonly returnTo: string;
}

/**
 * Sign-ins under way, each remembered by its own browser alone: no row, and any replica can end it. The text is signed,
 * so that it counts for ten minutes whatever the cookie says, and has an audience of its own, so that it is no session.
 */
@Injectable()
export class SignInAttempts {
  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
  ) {}

  /** A new one, whose three values nobody can guess. */
  begin(returnTo: string): SignInAttempt {
    const random = () => randomBytes(32).toString('base64url');
    return { state: random(), nonce: random(), verifier: random(), returnTo };
  }

  /** The text of its cookie. */
  seal(attempt: SignInAttempt): string {
    const { jwtSecrets, jwtIssuer } = this.config;
    return jwt.sign({ ...attempt, iat: this.nowSeconds }, secretKeyOf(jwtSecrets[0]!), {
      algorithm: ALGORITHM,
      issuer: jwtIssuer,
      audience: this.audience,
      expiresIn: ATTEMPT_SECONDS,
    });
  }

  /** What `seal` was given; null for whatever is not of us, or is too old. */
  open(cookie: string | null): SignInAttempt | null {
    if (cookie === null) return null;
    const { jwtSecrets, jwtIssuer } = this.config;
    const expected = { issuer: jwtIssuer, audience: this.audience, clockTimestamp: this.nowSeconds };
    const claims = verifiedClaims(cookie, jwtSecrets, { ...expected, algorithms: [ALGORITHM] });
    if (claims === null) return null;
    const { state, nonce, verifier, returnTo } = claims as jwt.JwtPayload & SignInAttempt;
    return { state, nonce, verifier, returnTo };
  }

  /** Another replica may open what this one has sealed: both go by the database's clock. */
  private get nowSeconds(): number {
    return Math.floor(this.clock.now().getTime() / 1000);
  }

  private get audience(): string {
    return `${this.config.jwtAudience}/sign-in`;
  }
}
