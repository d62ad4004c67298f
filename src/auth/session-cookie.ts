import { Injectable } from '@nestjs/common';
import { type SerializeOptions, stringifySetCookie } from 'cookie';
import type { FastifyRequest } from 'fastify';
import { Config } from '../config/config.js';
import { Installation } from '../installation/installation.js';
import type { SessionView } from './auth.view.js';
import { MAX_TOKEN_CHARACTERS } from './bearer.js';
import { cookieName, cookieValue, cookieValues, isSecure, removals } from './cookies.js';

/** What builds before `__Host-` called the cookie, whatever the scheme. */
const FORMER_NAME = 'latchkey_session';

/**
 * The console's session as a cookie: no script reads it, no other site sends it, and with https no other site sets it.
 */
@Injectable()
export class SessionCookie {
  private readonly options: SerializeOptions;

  constructor(
    private readonly config: Config,
    private readonly installation: Installation,
  ) {
    this.options = { path: '/', httpOnly: true, sameSite: 'strict', secure: isSecure(config.publicUrl) };
  }

  get name(): string {
    return cookieName('session', this.config.publicUrl, this.installation.shortId);
  }

  /** Brings the session into the browser, for as long as it lasts. One that a former build left is taken out. */
  of({ accessToken }: Pick<SessionView, 'accessToken'>): string[] {
    // Not `expires`: that is an instant of the database's clock, and the browser would compare it with its own.
    const session = stringifySetCookie(this.name, accessToken, {
      ...this.options,
      maxAge: this.config.sessionTtlSeconds,
    });
    return this.name === FORMER_NAME ? [session] : [session, this.removal(FORMER_NAME)];
  }

  /** Takes it out again. */
  ended(): string {
    return this.removal(this.name);
  }

  /** The token, when no `Authorization` takes precedence; null for two cookies as for none. */
  tokenOf(request: FastifyRequest): string | null {
    if (request.headers.authorization !== undefined) return null;
    const token = cookieValue(request, this.name);
    return token !== null && token.length <= MAX_TOKEN_CHARACTERS ? token : null;
  }

  /** Whether the cookie came more than once: which of them the console has set cannot be told. */
  isRepeated(request: FastifyRequest): boolean {
    return request.headers.authorization === undefined && cookieValues(request, this.name).length > 1;
  }

  /** Takes out every cookie of this name that came with a request. */
  allEnded(request: FastifyRequest): string[] {
    return removals(this.name, request, this.options);
  }

  private removal(name: string): string {
    return stringifySetCookie(name, '', { ...this.options, expires: new Date(0), maxAge: 0 });
  }
}
