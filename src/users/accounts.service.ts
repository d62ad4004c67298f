import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Caller } from '../access/caller.js';
import { storedBinding } from '../access/credential-binding.js';
import { DomainError } from '../common/domain-error.js';
import { CredentialBindings } from '../installation/bindings/credential-bindings.js';
import type { HashingPriority } from './hashing-slots.js';
import { passwordMatches } from './password.js';
import { PasswordThrottle } from './password-throttle.js';
import { type ProvenCode, SecondFactorCheck } from './second-factor/second-factor-check.js';
import { SignInFailures } from './sign-in-failures.js';
import type { FailureReason } from './sign-in-minutes.js';
import type { User } from './user.entity.js';
import { UserView } from './user.view.js';
import { UsersRepository } from './users.repository.js';

/** A person who proved password and second factor; good for opening one session, if nothing changed since. */
export interface ProvenAccount {
  readonly id: string;
  /** The hash that was matched: a session must not outlive the password it was opened with. */
  readonly passwordHash: string;
  /** Whether another person chose the password. */
  readonly hasTemporaryPassword: boolean;
  /** null: the account has no second factor. */
  readonly code: ProvenCode | null;
}

/** What a person signs in with. */
export interface LoginCredentials {
  readonly email: string;
  readonly password: string;
  readonly code?: string | undefined;
}

/** Refusals that are told to the person of the account, by their code. */
const FAILURES: ReadonlyMap<string, FailureReason> = new Map([
  ['TOO_MANY_REQUESTS', 'throttled'],
  ['MFA_CODE_REFUSED', 'wrong-code'],
]);

/** What signing in needs of users. */
@Injectable()
export class Accounts {
  constructor(
    private readonly users: UsersRepository,
    private readonly throttle: PasswordThrottle,
    private readonly failures: SignInFailures,
    private readonly bindings: CredentialBindings,
    private readonly secondFactor: SecondFactorCheck,
  ) {}

  /**
   * The active local account behind e-mail and password, or null: wrong password, unknown address and inactive account
   * are the same, also in time. What fails is counted, and told to the person of the account. The second factor is
   * looked at after the password was right; a refused code is counted like a wrong password. A missing one slows
   * nobody, and is a failed sign-in where none follows.
   *
   * @param devices the browser's ids by account: a browser that the account knows is not slowed by failures of others
   * @throws DomainError 401 MFA_REQUIRED, MFA_CODE_REFUSED; 429 TOO_MANY_REQUESTS after too many failures; 503 while
   * too many
   *   passwords are being checked
   */
  async prove(
    caller: Caller,
    { email, password, code }: LoginCredentials,
    devices: ReadonlyMap<string, string>,
  ): Promise<ProvenAccount | null> {
    const address = email.trim();
    let userId: string | null = null;
    try {
      if (devices.size === 0)
        this.throttle.requireUnknownBrowserAllowed({ account: address, ip: caller.ip, deviceId: null });
      const account = await this.users.findByEmailWithPassword(address);
      userId = account?.id ?? null;
      const deviceId = devices.get(userId ?? '') ?? null;
      let proven: ProvenAccount | null = null;
      // The database takes more spellings for the same address than `toLowerCase`: an account has one counter, its own.
      const counted = account?.email ?? address;
      await this.throttle.guard({ account: counted, ip: caller.ip, deviceId }, async () => {
        const matches = await this.isPasswordOf(account, password, deviceId === null ? 'unknown' : 'known');
        if (!matches || !account?.passwordHash || !account.isActive) return false;
        const { id, passwordHash, passwordIsTemporary: hasTemporaryPassword } = account;
        proven = { id, passwordHash, hasTemporaryPassword, code: await this.secondFactor.prove(id, code) };
        return true;
      });
      if (proven !== null) return proven;
      this.failures.note(caller, userId, 'wrong-password');
      return null;
    } catch (error) {
      const code = error instanceof DomainError ? error.code : '';
      const reason = FAILURES.get(code);
      if (reason !== undefined) this.failures.note(caller, userId, reason);
      if (userId !== null && code === 'MFA_REQUIRED') this.failures.noteMissingCode(caller, userId);
      throw error;
    }
  }

  /**
   * Whether this is the user's password, and its hash the one that was given to that user; takes as long without a
   * user. The user is read with the password.
   *
   * @throws DomainError 503 while too many are being checked, or where this replica lacks the pepper that bound the
   * password
   */
  async isPasswordOf(user: User | null, password: string, priority: HashingPriority = 'known'): Promise<boolean> {
    const hash = user?.passwordHash ?? null;
    const matches = await passwordMatches(hash, password, priority);
    if (!matches || user === null || hash === null) return false;
    const isBound = this.bindings.isPasswordOf(
      user.id,
      hash,
      storedBinding(user.passwordBinding, user.passwordBindingVersion),
    );
    if (!isBound) this.bindings.noteRefused('password', user.id);
    return isBound;
  }

  /**
   * Notes the sign-in and uses up its code; false when password or state changed since the proof.
   *
   * @throws DomainError 401 MFA_REQUIRED, MFA_CODE_REFUSED when the second factor changed, or the code was used
   * meanwhile
   */
  async enter(tx: EntityManager, { id, passwordHash, code }: ProvenAccount): Promise<boolean> {
    if (!(await this.users.in(tx).noteSignIn(id, passwordHash))) return false;
    await this.secondFactor.use(tx, id, code);
    return true;
  }

  /**
   * Notes a sign-in by the identity provider, which has no password here; false when the user may not sign in any more.
   */
  enterByIdentity(tx: EntityManager, id: string): Promise<boolean> {
    return this.users.in(tx).noteSignIn(id, null);
  }

  /** A user as clients see it, or null. `tx`: as a transaction leaves it. */
  async findView(id: string, tx?: EntityManager): Promise<UserView | null> {
    const found = await (tx === undefined ? this.users : this.users.in(tx)).findById(id);
    return found && UserView.from(found);
  }
}
