import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { storedBinding } from '../access/credential-binding.js';
import { CredentialBindings } from '../installation/bindings/credential-bindings.js';
import { passwordMatches } from './password.js';
import { PasswordThrottle } from './password-throttle.js';
import type { User } from './user.entity.js';
import { UserView } from './user.view.js';
import { UsersRepository } from './users.repository.js';

/** Somebody who proved his password; good for opening one session, if nothing changed since. */
export interface ProvenAccount {
  readonly id: string;
  /** The hash that was matched: a session must not outlive the password it was opened with. */
  readonly passwordHash: string;
}

/** What signing in needs of users. */
@Injectable()
export class Accounts {
  constructor(
    private readonly users: UsersRepository,
    private readonly throttle: PasswordThrottle,
    private readonly bindings: CredentialBindings,
  ) {}

  /**
   * The active local account behind e-mail and password, or null: wrong password, unknown address and disabled account
   * are the same, also in time.
   *
   * @throws DomainError 429 TOO_MANY_REQUESTS after too many wrong passwords from `ip`
   */
  async prove(email: string, password: string, ip: string | null): Promise<ProvenAccount | null> {
    const address = email.trim();
    let proven: ProvenAccount | null = null;
    await this.throttle.guard(ip, address, async () => {
      const account = await this.users.findByEmailWithPassword(address);
      const matches = await this.isPasswordOf(account, password);
      if (matches && account?.passwordHash && account.isActive) proven = { id: account.id, passwordHash: account.passwordHash };
      return proven !== null;
    });
    return proven;
  }

  /**
   * Whether this is the user's password, and its hash the one that was given to that user; takes as long without a user.
   * The user is read with the password.
   *
   * @throws DomainError 503 where this replica lacks the pepper that bound the password
   */
  async isPasswordOf(user: User | null, password: string): Promise<boolean> {
    const hash = user?.passwordHash ?? null;
    const matches = await passwordMatches(hash, password);
    if (!matches || user === null || hash === null) return false;
    const isBound = this.bindings.isPasswordOf(user.id, hash, storedBinding(user.passwordBinding, user.passwordBindingVersion));
    if (!isBound) this.bindings.noteRefused('password', user.id);
    return isBound;
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
