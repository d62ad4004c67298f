import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { ExtractJwt, type JwtFromRequestFunction, Strategy } from 'passport-jwt';
import { Principal } from '../access/caller.js';
import { GrantsReader } from '../access/grants.reader.js';
import { Config } from '../config/config.js';
import { SESSION_ALGORITHM, SESSION_COOKIE, type SessionClaims } from './session-tokens.js';
import { SessionsRepository } from './sessions.repository.js';

const fromBearer = ExtractJwt.fromAuthHeaderAsBearerToken();

const presentedToken: JwtFromRequestFunction<FastifyRequest & Parameters<typeof fromBearer>[0]> = (request) =>
  fromBearer(request) ?? sessionCookieOf(request);

/** The console's token, when no bearer token takes precedence. */
export function sessionCookieOf(request: FastifyRequest): string | null {
  return request.headers.authorization === undefined ? (request.cookies[SESSION_COOKIE] ?? null) : null;
}

/** Our own tokens, as bearer token or cookie. A disabled user, a changed password or a sign-out ends them at once. */
@Injectable()
export class SessionStrategy extends PassportStrategy(Strategy, 'session') {
  constructor(
    config: Config,
    private readonly sessions: SessionsRepository,
    private readonly grants: GrantsReader,
  ) {
    super({
      jwtFromRequest: presentedToken,
      secretOrKey: config.jwtSecret,
      algorithms: [SESSION_ALGORITHM],
      issuer: config.jwtIssuer,
      audience: config.jwtAudience,
    });
  }

  /** The user as he is now: roles and grants are never taken from the token. */
  async validate(claims: SessionClaims): Promise<Principal | null> {
    if (!(await this.sessions.isOpen(claims.sid, claims.sub))) return null;
    const holder = await this.grants.findHolder(claims.sub);
    if (!holder?.isActive) return null;
    return new Principal('user', holder.id, holder.id, holder.name, holder.roles, holder.grants, claims.sid);
  }
}
