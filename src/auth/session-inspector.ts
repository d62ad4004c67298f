import { Injectable } from '@nestjs/common';
import jwt from 'jsonwebtoken';
import type { Principal } from '../access/caller.js';
import { Config } from '../config/config.js';
import { MAX_TOKEN_CHARACTERS } from './bearer.js';
import { SESSION_ALGORITHM } from './session-tokens.js';
import { SessionStrategy } from './session.strategy.js';

/** A session token that works, and who its user is now. Instants are Unix seconds. */
export interface WorkingSession {
  readonly user: Principal;
  readonly expiresAtSeconds: number;
  readonly issuedAtSeconds: number | null;
}

/** Tells what a session token is that somebody asks about, by the rules of the `session` strategy. */
@Injectable()
export class SessionInspector {
  constructor(
    private readonly config: Config,
    private readonly strategy: SessionStrategy,
  ) {}

  /** null for whatever is no token of ours, has expired, or whose session or user is no more. */
  async findWorking(token: string): Promise<WorkingSession | null> {
    const claims = this.proven(token);
    const user = claims === null ? null : await this.strategy.validate(claims);
    if (user === null || typeof claims?.exp !== 'number') return null;
    return { user, expiresAtSeconds: claims.exp, issuedAtSeconds: claims.iat ?? null };
  }

  /** By signature, issuer and audience; its instants are for `validate`. */
  private proven(token: string): jwt.JwtPayload | null {
    if (token.length > MAX_TOKEN_CHARACTERS) return null;
    const { jwtSecret, jwtIssuer, jwtAudience } = this.config;
    try {
      const claims = jwt.verify(token, jwtSecret, { algorithms: [SESSION_ALGORITHM], issuer: jwtIssuer, audience: jwtAudience, ignoreExpiration: true });
      return typeof claims === 'string' ? null : claims;
    } catch {
      // It throws for what is wrong with the token alone, by several classes of errors.
      return null;
    }
  }
}
