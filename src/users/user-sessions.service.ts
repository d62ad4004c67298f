import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { permissionDenied, unauthenticated } from '../access/access.errors.js';
import type { KnownCaller } from '../access/caller.js';
import { GrantsReader } from '../access/grants.reader.js';
import { Changes } from '../audit/changes.js';
import { validationFailed } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { Sessions } from './sessions.service.js';
import { UserChangeRules } from './user-change-rules.js';
import { sessionNotFound, userNotFound } from './user.errors.js';
import { SessionsView } from './user-sessions.view.js';
import { UsersRepository } from './users.repository.js';

const PERMISSION = 'platform:users:update';

/** The sessions of a user, for this user and for those who may change the user: to see them, and to end them. */
@Injectable()
export class UserSessions {
  constructor(
    private readonly sessions: Sessions,
    private readonly users: UsersRepository,
    private readonly admission: UserChangeRules,
    private readonly grants: GrantsReader,
    private readonly changes: Changes,
    private readonly config: Config,
  ) {}

  /** @throws DomainError 403 PERMISSION_DENIED; 404 USER_NOT_FOUND */
  async list(caller: KnownCaller, userId: string): Promise<SessionsView> {
    requirePermissionForOthers(caller, userId);
    const [user, { sessions, total }] = await Promise.all([
      this.users.findById(userId),
      this.sessions.findOpenOf(userId, this.config.sessionIdleSeconds),
    ]);
    if (user === null) throw userNotFound();
    return SessionsView.from(sessions, total, caller.principal.sessionId);
  }

  /**
   * Ends one. @throws DomainError 403 PERMISSION_DENIED, CANNOT_GRANT, OUTSIDE_POLICY; 404 USER_NOT_FOUND,
   * SESSION_NOT_FOUND
   */
  async end(caller: KnownCaller, userId: string, sessionId: string): Promise<void> {
    requirePermissionForOthers(caller, userId);
    await this.changes.transaction(caller, async ({ tx, record }) => {
      await this.lock(tx, caller, userId);
      if (!(await this.sessions.in(tx).close(sessionId, userId))) throw sessionNotFound();
      record({ resourceType: 'user', resourceId: userId, details: { sessionId } });
    });
  }

  /**
   * Ends all of them, or all but the caller's own. Gives how many; none leaves no trace in the trail.
   *
   * @throws DomainError 400; 403 PERMISSION_DENIED, CANNOT_GRANT, OUTSIDE_POLICY; 404 USER_NOT_FOUND
   */
  async endAll(caller: KnownCaller, userId: string, keepsCurrent: boolean): Promise<number> {
    requirePermissionForOthers(caller, userId);
    if (keepsCurrent && !isOwn(caller, userId))
      throw validationFailed([{ path: 'except', message: 'is only for your own sessions' }]);
    const keep = keepsCurrent ? caller.principal.sessionId : null;
    return this.changes.transaction(caller, async ({ tx, record }) => {
      await this.lock(tx, caller, userId);
      const ended = await this.sessions.in(tx).closeAllOf(userId, keep);
      if (ended > 0)
        record({
          resourceType: 'user',
          resourceId: userId,
          details: { sessions: ended, ...(keep === null ? {} : { kept: keep }) },
        });
      return ended;
    });
  }

  /** A sign-in locks the user as well: a session is opened before this, and ends, or after it. */
  private async lock(tx: EntityManager, caller: KnownCaller, userId: string): Promise<void> {
    if (!isOwn(caller, userId)) {
      await this.admission.lockParties(tx, caller, PERMISSION, userId);
      return;
    }
    const holder = await this.grants.in(tx).findHolder(userId, 'update');
    if (!holder?.isActive) throw unauthenticated(true);
  }
}

function isOwn(caller: KnownCaller, userId: string): boolean {
  return caller.principal.signedInUserId === userId;
}

/** Said before anything is looked up: who lacks it does not learn who exists. */
function requirePermissionForOthers(caller: KnownCaller, userId: string): void {
  if (!isOwn(caller, userId) && !caller.principal.may(PERMISSION)) throw permissionDenied(PERMISSION);
}
