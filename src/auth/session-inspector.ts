import { Injectable } from '@nestjs/common';
import type jwt from 'jsonwebtoken';
import type { Principal } from '../access/caller.js';
import { Config } from '../config/config.js';
import { MAX_TOKEN_CHARACTERS } from './bearer.js';
import { SESSION_ALGORITHM, verifiedClaims } from './session-tokens.js';
import { SessionStrategy } from './session.strategy.js';

/** A session token that works, and who its user is now. Instants are Unix seconds. */
export interface WorkingSession {
  readonly user: Principal;
  readonly expiresAtSeconds: number;
  readonly issuedAtSeconds: number | null;
}

/** Tells what a session token is, by the rules of the `session` strategy. Asking is no use of the session. */
@Injectable()
export class SessionInspector {
  constructor(
    private readonly config: Config,
    private readonly strategy: SessionStrategy,
  ) {}

  /** As `findOpen`, and null for a session that can do nothing but change its password or set up a second factor. */
  async findWorking(token: string): Promise<WorkingSession | null> {
    const session = await this.findOpen(token);
    return session === null || session.user.mustChangePassword || session.user.mustEnrol ? null : session;
  }

  /** null for what is no token of ours, has expired, or whose session or user is no more. */
  async findOpen(token: string): Promise<WorkingSession | null> {
    const claims = this.proven(token);
    const user = claims === null ? null : await this.strategy.find(claims, false);
    if (user === null || typeof claims?.exp !== 'number') return null;
    return { user, expiresAtSeconds: claims.exp, issuedAtSeconds: claims.iat ?? null };
  }

  /** By signature, issuer and audience; its instants are for `validate`. */
  private proven(token: string): jwt.JwtPayload | null {
    if (token.length > MAX_TOKEN_CHARACTERS) return null;
    const { jwtSecrets, jwtIssuer: issuer, jwtAudience: audience } = this.config;
    return verifiedClaims(token, jwtSecrets, {
      algorithms: [SESSION_ALGORITHM],
      issuer,
      audience,
      ignoreExpiration: true,
    });
  }
}
