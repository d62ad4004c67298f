import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { passwordMatches } from './password.js';
import { PasswordThrottle } from './password-throttle.js';
import { type ProvenCode, SecondFactorCheck } from './second-factor/second-factor-check.js';
import { UserView } from './user.view.js';
import { UsersRepository } from './users.repository.js';

/** A person who proved password and second factor; good for opening one session, if nothing changed since. */
export interface ProvenAccount {
  readonly id: string;
  /** The hash that was matched: a session must not outlive the password it was opened with. */
  readonly passwordHash: string;
  /** null: the account has no second factor. */
  readonly code: ProvenCode | null;
}

/** What signing in needs of users. */
@Injectable()
export class Accounts {
  constructor(
    private readonly users: UsersRepository,
    private readonly throttle: PasswordThrottle,
    private readonly secondFactor: SecondFactorCheck,
  ) {}

  /**
   * The active local account behind e-mail and password, or null: wrong password, unknown address and disabled account
   * are the same, also in time. The second factor is looked at after the password was right.
   *
   * @throws DomainError 401 MFA_REQUIRED, MFA_CODE_REFUSED; 429 TOO_MANY_REQUESTS after too many wrong passwords or codes
   *   from `ip`
   */
  async prove(email: string, password: string, code: string | undefined, ip: string | null): Promise<ProvenAccount | null> {
    const address = email.trim();
    let proven: ProvenAccount | null = null;
    await this.throttle.guard(ip, address, async () => {
      const account = await this.users.findByEmailWithPassword(address);
      const matches = await passwordMatches(account?.passwordHash ?? null, password);
      if (!matches || !account?.passwordHash || !account.isActive) return false;
      // A refused code is counted like a wrong password.
      proven = { id: account.id, passwordHash: account.passwordHash, code: await this.secondFactor.prove(account.id, code) };
      return true;
    });
    return proven;
  }

  /**
   * Notes the sign-in and uses up its code; false when password or state changed since the proof.
   *
   * @throws DomainError 401 MFA_REQUIRED, MFA_CODE_REFUSED when the second factor changed, or the code was used meanwhile
   */
  async enter(tx: EntityManager, { id, passwordHash, code }: ProvenAccount): Promise<boolean> {
    if (!(await this.users.in(tx).noteSignIn(id, passwordHash))) return false;
    await this.secondFactor.use(tx, id, code);
    return true;
  }

  /** Notes a sign-in by the identity provider, which has no password here; false when the user may not sign in any more. */
  enterByIdentity(tx: EntityManager, id: string): Promise<boolean> {
    return this.users.in(tx).noteSignIn(id, null);
  }

  /** A user as clients see it, or null. `tx`: as a transaction leaves it. */
  async findView(id: string, tx?: EntityManager): Promise<UserView | null> {
    const found = await (tx === undefined ? this.users : this.users.in(tx)).findById(id);
    return found && UserView.from(found.user, found.roles, found.managerIds, found.hasSecondFactor);
  }
}
