import { Injectable, Logger } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import { AuthService } from './auth.service.js';
import { SessionInspector } from './session-inspector.js';

/** The session that a browser had when it signed in anew. */
@Injectable()
export class ReplacedSession {
  private readonly logger = new Logger('Sessions');

  constructor(
    private readonly inspector: SessionInspector,
    private readonly auth: AuthService,
  ) {}

  /**
   * Ends the session of `token`, the former cookie, if it is open: the browser has a new one now, and no sign-out would
   * end the old one. It is recorded as a sign-out. A failure is logged alone: the new session is open, and its cookie
   * must get to the browser.
   *
   * @see OWASP ASVS 5.0.0, 7.2.4
   */
  async end(caller: Caller, token: string | null): Promise<void> {
    try {
      const open = token === null ? null : await this.inspector.findOpen(token);
      if (open !== null) await this.auth.logout({ ...caller, principal: open.user, action: 'auth:logout' });
    } catch (error) {
      this.logger.warn({
        msg: 'The former session of a browser could not be ended; it ends by itself.',
        cause: (error as Error).message,
      });
    }
  }
}
