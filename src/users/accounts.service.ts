import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Caller } from '../access/caller.js';
import { DomainError } from '../common/domain-error.js';
import { passwordMatches } from './password.js';
import { PasswordThrottle } from './password-throttle.js';
import { SignInFailures } from './sign-in-failures.js';
import { UserView } from './user.view.js';
import { UsersRepository } from './users.repository.js';

/** Somebody who proved his password; good for opening one session, if nothing changed since. */
export interface ProvenAccount {
  readonly id: string;
  /** The hash that was matched: a session must not outlive the password it was opened with. */
  readonly passwordHash: string;
  /** Whether another person chose the password. */
  readonly hasTemporaryPassword: boolean;
}

/** What signing in needs of users. */
@Injectable()
export class Accounts {
  constructor(
    private readonly users: UsersRepository,
    private readonly throttle: PasswordThrottle,
    private readonly failures: SignInFailures,
  ) {}

  /**
   * The active local account behind e-mail and password, or null: wrong password, unknown address and disabled account
   * are the same, also in time. What fails is counted, and told to the person of the account.
   *
   * @param devices the browser's ids by account: a browser that the account knows is not slowed by failures of others
   * @throws DomainError 429 TOO_MANY_REQUESTS after too many wrong passwords; 503 while too many are being checked
   */
  async prove(caller: Caller, email: string, password: string, devices: ReadonlyMap<string, string>): Promise<ProvenAccount | null> {
    const address = email.trim();
    let userId: string | null = null;
    try {
      if (devices.size === 0) this.throttle.requireUnknownBrowserAllowed({ account: address, ip: caller.ip, deviceId: null });
      const account = await this.users.findByEmailWithPassword(address);
      userId = account?.id ?? null;
      const deviceId = devices.get(userId ?? '') ?? null;
      const isRight = await this.throttle.guard({ account: address, ip: caller.ip, deviceId }, async () => {
        const matches = await passwordMatches(account?.passwordHash ?? null, password, deviceId === null ? 'unknown' : 'known');
        return matches && account?.isActive === true;
      });
      if (isRight && account?.passwordHash) return { id: account.id, passwordHash: account.passwordHash, hasTemporaryPassword: account.passwordIsTemporary };
      this.failures.note(caller, userId, 'wrong-password');
      return null;
    } catch (error) {
      if (error instanceof DomainError && error.kind === 'throttled') this.failures.note(caller, userId, 'throttled');
      throw error;
    }
  }

  /** Notes the sign-in; false when password or state changed since the proof. */
  enter(tx: EntityManager, account: ProvenAccount): Promise<boolean> {
    return this.users.in(tx).noteSignIn(account.id, account.passwordHash);
  }

  /** Notes a sign-in by the identity provider, which has no password here; false when the user may not sign in any more. */
  enterByIdentity(tx: EntityManager, id: string): Promise<boolean> {
    return this.users.in(tx).noteSignIn(id, null);
  }

  /** A user as clients see it, or null. `tx`: as a transaction leaves it. */
  async findView(id: string, tx?: EntityManager): Promise<UserView | null> {
    const found = await (tx === undefined ? this.users : this.users.in(tx)).findById(id);
    return found && UserView.from(found.user, found.roles, found.managerIds);
  }
}
