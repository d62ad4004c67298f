import { ApiProperty } from '@nestjs/swagger';
import { AccountNoticesView } from '../users/account-notices.view.js';
import { UserView } from '../users/user.view.js';
import type { KeyPolicy } from '../access/key-policy.js';
import { PROJECT_ROLES, type ProjectRole } from '../projects/project-role.js';

/** A session just opened. */
export class SessionView {
  /**
   * Bearer token; the same is in the cookie: `__Host-latchkey_` and 8 digits with https, `latchkey_session` with http.
   */
  accessToken: string;

  /**
   * When the session ends by itself.
   * @example "2026-11-21T21:00:00.000Z"
   */
  expiresAt: Date;

  user: UserView;

  /** Whether this session can do nothing but change the password, because another person chose it. */
  mustChangePassword: boolean;

  /** What happened to the account since it was last acknowledged; null: nothing. */
  notices: AccountNoticesView | null;
}

/** A key, as it may know itself. */
export class OwnKeyView {
  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /** @example "Billing service" */
  name: string;

  @ApiProperty({ enum: ['live', 'test'], example: 'live' })
  environment: 'live' | 'test';

  /** @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55" */
  ownerId: string;

  /** @example ["chat:write"] */
  scopes: string[];

  /** @example ["team:billing"] */
  tags: string[];

  /** When the key ends by itself; null: it does not. */
  expiresAt: Date | null;
}

/** A project of which you are a member. */
export class MembershipView {
  /** @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /** @example "Search" */
  name: string;

  @ApiProperty({ enum: PROJECT_ROLES, example: 'member' })
  role: ProjectRole;
}

/** Who you are and what you may do. */
export class MeView {
  /** The signed-in user; null when a key asks. */
  user: UserView | null;

  /** The key that asks; null for a signed-in user. */
  key: OwnKeyView | null;

  /**
   * How you authenticated.
   * @example "user"
   */
  kind: 'user' | 'key';

  /**
   * The user's roles, or the key's.
   * @example ["admin"]
   */
  roles: string[];

  /**
   * Grants in effect, wildcards included.
   * @example ["platform:*:read"]
   */
  permissions: string[];

  /**
   * The bounds your roles set on keys you make, and tags that any role reserves; null: none, or a key that makes none.
   */
  keyPolicy: KeyPolicy | null;

  /** The projects of which you are a member, in order of name; none when a key asks. */
  projects: MembershipView[];

  /** Whether your session can do nothing but change your password, because another person chose it. */
  mustChangePassword: boolean;

  /** What happened to your account since you last acknowledged it; null: nothing, or a key asks. */
  notices: AccountNoticesView | null;

  /** Whether you must set up a second factor before this session may do anything else. */
  mustEnrol: boolean;
}
