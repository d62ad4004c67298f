import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { passwordChangeRequired, permissionDenied } from '../access/access.errors.js';
import type { KnownCaller } from '../access/caller.js';
import { bindPassword } from '../access/credential-binding.js';
import { GrantsReader } from '../access/grants.reader.js';
import { Changes } from '../audit/changes.js';
import { validationFailed } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { Accounts } from './accounts.service.js';
import { hashPassword, isSameAsEmail, passwordMatches } from './password.js';
import { PasswordRules } from './password-rules.js';
import { PasswordThrottle } from './password-throttle.js';
import { sessionRequired } from './second-factor/second-factor.errors.js';
import { Sessions } from './sessions.service.js';
import { UserChangeRules } from './user-change-rules.js';
import type { SetPasswordDto } from './user.dto.js';
import type { User } from './user.entity.js';
import { hasNoPassword, unfitPassword, userNotFound, wrongPassword } from './user.errors.js';
import { UsersRepository } from './users.repository.js';

/** New passwords. Each ends the sessions that were opened with the old one, but for the one that asked. */
@Injectable()
export class Passwords {
  constructor(
    private readonly users: UsersRepository,
    private readonly sessions: Sessions,
    private readonly admission: UserChangeRules,
    private readonly grants: GrantsReader,
    private readonly throttle: PasswordThrottle,
    private readonly rules: PasswordRules,
    private readonly accounts: Accounts,
    private readonly config: Config,
    private readonly changes: Changes,
  ) {}

  /**
   * One's own password with the old one; another's with `platform:users:update` and everything that user may do.
   * No key sets the password of its owner.
   *
   * @throws DomainError 400; 403 WRONG_PASSWORD, PERMISSION_DENIED, SESSION_REQUIRED, CANNOT_GRANT; 404; 409
   * HAS_NO_PASSWORD; 429
   */
  async set(caller: KnownCaller, id: string, input: SetPasswordDto): Promise<void> {
    if (caller.principal.signedInUserId === id) return this.setOwn(caller, id, input);
    if (caller.principal.mustChangePassword) throw passwordChangeRequired();
    // Said before anything is looked up: who may not do this does not learn who exists.
    if (!caller.principal.may('platform:users:update')) throw permissionDenied('platform:users:update');
    // A stolen session makes a key: it would set the password of that very account without the old one.
    if (caller.principal.ownerId === id) throw sessionRequired();
    if (input.currentPassword !== undefined) {
      throw validationFailed([{ path: 'currentPassword', message: 'is only for your own password' }]);
    }
    return this.setAnothers(caller, id, input.password);
  }

  private async setOwn(caller: KnownCaller, id: string, { password, currentPassword }: SetPasswordDto): Promise<void> {
    const user = await this.users.findByIdWithPassword(id);
    if (!user) throw userNotFound();
    const { passwordHash } = requireAllowed(user, password);
    if (passwordHash === null) throw hasNoPassword();
    if (currentPassword === undefined) {
      throw validationFailed([{ path: 'currentPassword', message: 'is required for your own password' }]);
    }
    const isRight = await this.throttle.guardSignedIn(id, () => this.accounts.isPasswordOf(user, currentPassword));
    if (!isRight) throw wrongPassword();
    const problem = await this.rules.problem(password, user);
    if (problem !== null) throw unfitPassword(problem);
    await requireNew(password, currentPassword, user);
    const bound = bindPassword(this.config.peppers, id, await hashPassword(password));
    await this.changes.transaction(caller, async ({ tx, record, write }) => {
      const holder = await this.grants.in(tx).findHolder(id, 'update');
      if (!holder?.isActive || !(await this.users.in(tx).setPassword(id, bound, passwordHash))) throw wrongPassword();
      write(this.sessions.in(tx).closeAllOf(id, caller.principal.sessionId));
      record({ resourceType: 'user', resourceId: id, details: { credential: 'password' } });
    });
  }

  private async setAnothers(caller: KnownCaller, id: string, password: string): Promise<void> {
    // Neither waits while rows are locked; what it says of a user is said to callers alone who may change that user.
    const target = await this.users.findByIdWithPassword(id);
    const problem = target && (await this.rules.problem(password, target));
    const bound = bindPassword(this.config.peppers, id, await hashPassword(password));
    await this.changes.transaction(caller, async ({ tx, record, write }) => {
      await this.admission.lockParties(tx, caller, 'platform:users:update', id);
      requireAllowed(await this.require(tx, id), password);
      if (problem !== null) throw unfitPassword(problem);
      write(this.users.in(tx).setTemporaryPassword(id, bound));
      write(this.sessions.in(tx).closeAllOf(id));
      record({ resourceType: 'user', resourceId: id, details: { credential: 'password' } });
    });
  }

  private async require(tx: EntityManager, id: string): Promise<User> {
    const user = await this.users.in(tx).findByIdWithPassword(id);
    if (!user) throw userNotFound();
    return user;
  }
}

/** @throws DomainError 400, 409 HAS_NO_PASSWORD */
function requireAllowed(user: User, password: string): User {
  if (user.kind === 'service' || user.oidcIssuer !== null) throw hasNoPassword();
  if (isSameAsEmail(password, user.email))
    throw validationFailed([{ path: 'password', message: 'must not be the e-mail address' }]);
  return user;
}

/** Neither the current one nor, after a reset, the one that was reset. @throws DomainError 400 */
async function requireNew(password: string, current: string, { previousPasswordHash }: User): Promise<void> {
  const isCurrent = password.normalize('NFC') === current.normalize('NFC');
  if (isCurrent || (previousPasswordHash !== null && (await passwordMatches(previousPasswordHash, password)))) {
    throw unfitPassword('must not be the password that you have now, or had before it was reset');
  }
}
