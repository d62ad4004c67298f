import { IsBoolean, IsObject } from 'class-validator';
import { IfGiven, IfPresent, IsOf, IsSet, IsSetOf, Satisfies } from '../common/validators.js';
import { ROLE_NAME } from '../common/grammars/role-name.js';
import { isTextOf } from '../common/text.js';
import { coversAny, isGrant } from './permission-grammar.js';
import { PERMISSIONS } from './permissions.js';

/** A list of roles' names. */
export const IsRoleNames = () => IsSetOf(50, { ...ROLE_NAME, sentence: 'must be the name of a role' });

const REGISTERED = Object.keys(PERMISSIONS);

const isDescription = (value: unknown) => isTextOf(value, 500);

const isUsefulGrant = (value: unknown) => typeof value === 'string' && isGrant(value) && coversAny(value, REGISTERED);

/** The fields that both create and update take. */
export class RoleFieldsDto {
  /**
   * What the role is for; at most 500 characters.
   * @example "Runs the trial plan"
   */
  @IfPresent()
  @Satisfies('description', isDescription, 'must be at most 500 characters')
  description?: string;

  /**
   * Grants: permissions, or patterns with `*` as a whole segment (`platform:*:read`). Each must match at least one
   * permission of `GET /permissions`. You must hold all of them yourself.
   * @example ["platform:api-keys:create"]
   */
  @IfPresent()
  @IsSet(100)
  @Satisfies('permissions', isUsefulGrant, 'must be a grant that matches at least one permission', { each: true })
  permissions?: string[];

  /**
   * Bounds on, and defaults for, the keys that holders of this role make; null: the role says nothing about keys.
   * `{}` says "no bounds", also to those whose other roles state some.
   * @example {"maxRateLimitPerMinute": 60, "maxValidityDays": 30, "models": ["gpt-4o-mini"]}
   */
  @IfGiven()
  @IsObject()
  keyPolicy?: Record<string, unknown> | null;

  /** An inactive role grants nothing and bounds nothing. */
  @IfPresent()
  @IsBoolean()
  isActive?: boolean;
}

/** A new role. */
export class CreateRoleDto extends RoleFieldsDto {
  /**
   * 1 to 64 of a-z 0-9 and -, beginning with a letter; it cannot be changed later.
   * @example "trial-plan"
   */
  @IsOf(ROLE_NAME)
  name: string;
}

/** A change of a role: fields that are absent stay. */
export class UpdateRoleDto extends RoleFieldsDto {}
