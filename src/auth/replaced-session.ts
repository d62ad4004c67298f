import { Injectable } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import { AuthService } from './auth.service.js';
import { SessionInspector } from './session-inspector.js';

/** The session that a browser had when it signed in anew. */
@Injectable()
export class ReplacedSession {
  constructor(
    private readonly inspector: SessionInspector,
    private readonly auth: AuthService,
  ) {}

  /**
   * Ends the session of `token`, the former cookie, if it still works: the browser has a new one now, and nobody would
   * end the old one. It is recorded as a sign-out.
   *
   * @see OWASP ASVS 5.0.0, 7.2.4
   */
  async end(caller: Caller, token: string | null): Promise<void> {
    const working = token === null ? null : await this.inspector.findWorking(token);
    if (working !== null) await this.auth.logout({ ...caller, principal: working.user, action: 'auth:logout' });
  }
}
