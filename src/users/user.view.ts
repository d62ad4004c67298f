import { PageMetaView } from '../common/page.view.js';
import { versionOf } from '../common/version.js';
import { auditedUser } from './audited-user.js';
import type { UserKind } from './user.entity.js';
import type { UserWithRoles } from './users.repository.js';

/** A person or a service account. */
export class UserView {
  /** @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /**
   * Version of the settings, to be sent as `If-Match: "<version>"` with a change. Signing in does not change it.
   * @example "p3yQyJkYbQ7mUq0c"
   */
  version: string;

  /** @example "ada@example.com" */
  email: string | null;

  /**
   * Whether the identity provider has verified the e-mail address; an address that is not verified says nothing about
   * who this is. null: no address, or an account of this installation, whose address an administrator entered.
   * @example null
   */
  isEmailVerified: boolean | null;

  /** @example "Ada Lovelace" */
  name: string;

  /** A person signs in; a service account only owns keys. */
  kind: UserKind;

  /** Who may act as owner of a service account's keys. */
  managerIds: string[];

  /** @example ["creator"] */
  roles: string[];

  isActive: boolean;

  /** Own cap on active keys; null: the configured one. */
  maxActiveKeys: number | null;

  /**
   * How this user signs in to the console; null: not at all, as service accounts.
   * @example "password"
   */
  signsInWith: 'password' | 'identity-provider' | null;

  /** Whether a code is asked for at the sign-in. */
  hasSecondFactor: boolean;

  createdAt: Date;

  lastSignInAt: Date | null;

  /** Lists the fields that may leave: a new column stays inside until it is named here. */
  static from(found: UserWithRoles): UserView {
    const { user, roles, managerIds, hasSecondFactor } = found;
    return {
      id: user.id,
      version: versionOf(auditedUser(found)),
      email: user.email,
      isEmailVerified: user.oidcSubject === null || user.email === null ? null : user.isEmailVerified === true,
      name: user.name,
      kind: user.kind,
      managerIds: [...managerIds],
      roles: [...roles],
      isActive: user.isActive,
      maxActiveKeys: user.maxActiveKeys,
      signsInWith: user.oidcSubject !== null ? 'identity-provider' : user.kind === 'person' ? 'password' : null,
      hasSecondFactor,
      createdAt: user.createdAt,
      lastSignInAt: user.lastSignInAt,
    };
  }
}

/** A page of users, newest first. */
export class UsersPageView {
  data: UserView[];
  meta: PageMetaView;
}
