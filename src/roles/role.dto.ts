import { FLAG, ROLE_NAME, setOf, textOf } from '../../packages/contract/src/grammar.js';
import { Field, clearable, optional, required } from '../common/field.js';
import { coversAny, isGrant } from '../access/permission-grammar.js';
import { PERMISSIONS } from '../access/permissions.js';

const REGISTERED = Object.keys(PERMISSIONS);

const NO_GRANT = 'must be a grant that matches at least one permission';

const GRANT = {
  type: 'string',
  check: (value: string) => (isGrant(value) && coversAny(value, REGISTERED) ? null : NO_GRANT),
} as const;

/** The fields that both create and update take. */
export class RoleFieldsDto {
  /**
   * What the role is for; at most 500 characters.
   * @example "Runs the trial plan"
   */
  @Field(optional(textOf(500)))
  description?: string;

  /**
   * Grants: permissions, or patterns with `*` as a whole segment (`platform:*:read`). Each must match at least one
   * permission of `GET /permissions`. You must hold all of them yourself.
   * @example ["platform:api-keys:create"]
   */
  @Field(optional(setOf(100, GRANT)))
  permissions?: string[];

  /**
   * Bounds on, and defaults for, the keys that holders of this role make; null: the role says nothing about keys.
   * `{}` says "no bounds", also to those whose other roles state some.
   * @example {"maxRateLimitPerMinute": 60, "maxValidityDays": 30, "models": ["gpt-4o-mini"]}
   */
  @Field(clearable({ type: 'object' }))
  keyPolicy?: Record<string, unknown> | null;

  /** An inactive role grants nothing and bounds nothing. */
  @Field(optional(FLAG))
  isActive?: boolean;
}

/** A new role. */
export class CreateRoleDto extends RoleFieldsDto {
  /**
   * 1 to 64 of a-z 0-9 and -, beginning with a letter; it cannot be changed later.
   * @example "trial-plan"
   */
  @Field(required(ROLE_NAME))
  name: string;
}

/** A change of a role: fields that are absent stay. */
export class UpdateRoleDto extends RoleFieldsDto {}
