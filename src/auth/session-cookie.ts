import { Injectable } from '@nestjs/common';
import { type SerializeOptions, stringifySetCookie } from 'cookie';
import { Config } from '../config/config.js';
import type { SessionView } from './auth.view.js';
import { SESSION_COOKIE } from './session-tokens.js';

/** The `Set-Cookie` of the console's session: no script reads it, no other site sends it, and with https nothing else does. */
@Injectable()
export class SessionCookie {
  private readonly options: SerializeOptions;

  constructor(private readonly config: Config) {
    this.options = { path: '/', httpOnly: true, sameSite: 'strict', secure: config.publicUrl.startsWith('https:') };
  }

  /** Brings the session into the browser, for as long as it lasts. */
  of({ accessToken }: Pick<SessionView, 'accessToken'>): string {
    // Not `expires`: that is an instant of the database's clock, and the browser would compare it with its own.
    return stringifySetCookie(SESSION_COOKIE, accessToken, { ...this.options, maxAge: this.config.sessionTtlSeconds });
  }

  /** Takes it out again. */
  ended(): string {
    return stringifySetCookie(SESSION_COOKIE, '', { ...this.options, expires: new Date(0), maxAge: 0 });
  }
}
