import { ApiHideProperty } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { isEmail } from 'class-validator';
import { FLAG, NAME, NAME_OF_A_ROLE, UUID, oneOf, setOf, whole } from '../../packages/contract/src/grammar.js';
import type { Schema } from '../../packages/contract/src/schema.js';
import { isStorableText } from '../../packages/contract/src/text.js';
import { Field, clearable, optional, required } from '../common/field.js';
import { AsFlag, PageQueryDto } from '../common/page-query.dto.js';
import { ListText } from '../common/query-text.js';
import { TakesSecretsIn } from '../common/secret-members.js';
import { PASSWORD_RULE, isPassword } from './password.js';
import type { UserKind } from './user.entity.js';

const MAX_EMAIL = 254;

/** Whether `value` is an e-mail address once it is trimmed; at most 254 characters. @see RFC 5321, 4.5.3.1.3 */
export function isEmailAddress(value: unknown): value is string {
  return isStorableText(value) && value.trim().length <= MAX_EMAIL && isEmail(value.trim());
}

/** An e-mail address. */
export const EMAIL = {
  type: 'string',
  check: (value: string) =>
    isEmailAddress(value) ? null : `must be an e-mail address of at most ${MAX_EMAIL} characters`,
} as const satisfies Schema;

const ROLES = setOf(50, NAME_OF_A_ROLE);

const PASSWORD = {
  type: 'string',
  check: (value: string) => (isPassword(value) ? null : PASSWORD_RULE),
} as const satisfies Schema;

/** UUIDs are compared as text; PostgreSQL gives them in lower case. */
const InLowerCase = () =>
  Transform(({ value }: { value: unknown }) => {
    if (Array.isArray(value))
      return value.map((entry: unknown) => (typeof entry === 'string' ? entry.toLowerCase() : entry));
    return typeof value === 'string' ? value.toLowerCase() : value;
  });

/** The fields that both create and update take. */
export class UserFieldsDto {
  /**
   * Unique among local accounts, upper and lower case being the same; a service account may have none (null).
   * @example "ada@example.com"
   */
  @Field(clearable(EMAIL))
  email?: string | null;

  /**
   * Who may act as owner of a service account's keys: people's ids, at most 50. Only service accounts have managers.
   * The caller who names them must hold everything the account may do.
   * @example ["019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"]
   */
  @InLowerCase()
  @Field(optional(setOf(50, UUID)))
  managerIds?: string[];

  /** An inactive user cannot sign in; the sessions have ended, and the keys are refused. */
  @Field(optional(FLAG))
  isActive?: boolean;

  /**
   * Own cap on active keys, 0 to 1 000 000; null: the configured one.
   * @example 25
   */
  @Field(clearable(whole(0, 1_000_000)))
  maxActiveKeys?: number | null;
}

/** A new person or service account. */
@TakesSecretsIn('password')
export class CreateUserDto extends UserFieldsDto {
  /**
   * 1 to 100 characters, trimmed.
   * @example "Ada Lovelace"
   */
  @Field(required(NAME))
  name: string;

  /** A person signs in and needs an e-mail address; a service account only owns keys. It cannot be changed later. */
  @Field(optional(oneOf(['person', 'service'])))
  kind?: UserKind;

  /**
   * A person's first password: 12 to 1 024 characters, not the e-mail address. Without one the person cannot sign in
   * until `PUT /users/:id/password`.
   * @example "correct horse battery staple"
   */
  @Field(optional(PASSWORD))
  password?: string;

  /**
   * Names of roles. You must hold everything they grant.
   * @example ["creator"]
   */
  @Field(optional(ROLES))
  roles?: string[];
}

/** A change of a user: fields that are absent stay. */
export class UpdateUserDto extends UserFieldsDto {
  /**
   * 1 to 100 characters, trimmed.
   * @example "Ada King"
   */
  @Field(optional(NAME))
  name?: string;
}

/** The roles a user shall have. */
export class SetRolesDto {
  /**
   * Names of roles; they replace the present ones. You must hold everything that the user may do, before and after.
   * @example ["creator"]
   */
  @Field(required(ROLES))
  roles: string[];
}

/** A new password. */
@TakesSecretsIn('password', 'currentPassword')
export class SetPasswordDto {
  /**
   * 12 to 1 024 characters, not the e-mail address.
   * @example "correct horse battery staple"
   */
  @Field(required(PASSWORD))
  password: string;

  /**
   * The old one; required for your own password, refused for another's.
   * @example "admin password of last year"
   */
  @Field(optional({ type: 'string', maxLength: 4096 }))
  currentPassword?: string;
}

/** Filters of the list of users; all that are given must hold. */
export class UsersQueryDto extends PageQueryDto {
  /**
   * Users with these ids, at most 100; repeat it for several. Ids of deleted users are left out.
   * @example ["019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"]
   */
  @ListText()
  @InLowerCase()
  @Field(optional(setOf(100, UUID)))
  id?: string[];

  /**
   * Part of the name or the e-mail address, 1 to 100 characters; `%` and `_` stand for themselves.
   * @example "ada"
   */
  @Field(optional(NAME))
  search?: string;

  @Field(optional(oneOf(['person', 'service'])))
  kind?: UserKind;

  /**
   * Users who have this role.
   * @example "creator"
   */
  @Field(optional(NAME_OF_A_ROLE))
  role?: string;

  /** `true`: active users only; `false`: inactive ones only. */
  @AsFlag()
  @Field(optional(FLAG))
  isActive?: boolean;
}

/** The erasure of a person, confirmed. */
export class EraseUserDto {
  /**
   * The e-mail address of the person; the name, where there is no address. It cannot be undone.
   * @example "ada@example.com"
   */
  @Field(required({ type: 'string', maxLength: 320 }))
  confirm: string;
}

/** What becomes of a deleted user's keys; needed exactly when the user owns some that are not revoked. */
export class DeleteUserQueryDto {
  /** Revoke them all. */
  @Field(optional(oneOf(['revoke'])))
  keys?: 'revoke';

  /**
   * Give them to this user; needs `platform:api-keys:assign`.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @InLowerCase()
  @Field(optional(UUID))
  transferTo?: string;

  // Read by `WaitsForReplicas`, which documents it as well; named here because unknown parameters are refused.
  @ApiHideProperty()
  @Field(optional(oneOf(['true', 'false'])))
  wait?: 'true' | 'false';
}
