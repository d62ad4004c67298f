import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { unauthenticated } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { GrantsReader } from '../../access/grants.reader.js';
import { Accounts } from '../accounts.service.js';
import { PasswordThrottle } from '../password-throttle.js';
import { hasNoPassword, wrongPassword } from '../user.errors.js';
import { UsersRepository } from '../users.repository.js';
import { sessionRequired } from './second-factor.errors.js';

/** A person who has just shown the password once more. */
export interface ConfirmedPerson {
  readonly id: string;
  readonly email: string | null;
  readonly passwordHash: string;
}

/** Asks a signed-in person for the password again, before the way in is changed. */
@Injectable()
export class OwnPassword {
  constructor(
    private readonly users: UsersRepository,
    private readonly grants: GrantsReader,
    private readonly accounts: Accounts,
    private readonly throttle: PasswordThrottle,
  ) {}

  /** @throws DomainError 401; 403 SESSION_REQUIRED, WRONG_PASSWORD; 409 HAS_NO_PASSWORD; 429 */
  async confirm(caller: KnownCaller, password: string): Promise<ConfirmedPerson> {
    const id = ownIdOf(caller);
    const user = await this.users.findByIdWithPassword(id);
    if (!user) throw unauthenticated(true);
    const { email, passwordHash } = user;
    if (user.oidcIssuer !== null || passwordHash === null) throw hasNoPassword();
    const isRight = await this.throttle.guardSignedIn(id, () => this.accounts.isPasswordOf(user, password));
    if (!isRight) throw wrongPassword();
    return { id, email, passwordHash };
  }

  /**
   * Locks the person inside a change, still active and with the password that was shown.
   *
   * @throws DomainError 403 WRONG_PASSWORD
   */
  async lock(tx: EntityManager, { id, passwordHash }: ConfirmedPerson): Promise<void> {
    const holder = await this.grants.in(tx).findHolder(id, 'update');
    const user = await this.users.in(tx).findByIdWithPassword(id);
    if (!holder?.isActive || user?.passwordHash !== passwordHash) throw wrongPassword();
  }
}

/** The caller's own id, if a session speaks for the caller. @throws DomainError 403 SESSION_REQUIRED */
export function ownIdOf({ principal }: KnownCaller): string {
  if (principal.signedInUserId === null || principal.sessionId === null) throw sessionRequired();
  return principal.signedInUserId;
}
