import { PageMetaView } from '../common/page.view.js';
import { versionOf } from '../common/version.js';
import { auditedRole } from './audited-role.js';
import type { KeyPolicy } from '../access/key-policy.js';
import type { Role } from './role.entity.js';

/** A named set of grants, with an optional bound on the keys of those who have it. */
export class RoleView {
  /** @example "creator" */
  name: string;

  /**
   * Version of the role, to be sent as `If-Match: "<version>"` with a change.
   * @example "p3yQyJkYbQ7mUq0c"
   */
  version: string;

  /** @example "May create keys of their own." */
  description: string;

  /**
   * Grants, wildcards included.
   * @example ["platform:api-keys:create"]
   */
  permissions: string[];

  /** null: the role says nothing about keys. */
  keyPolicy: KeyPolicy | null;

  /** An inactive role grants nothing and bounds nothing. */
  isActive: boolean;

  /** @example "2026-11-21T09:00:00.000Z" */
  createdAt: Date;

  /** @example "2026-11-21T09:00:00.000Z" */
  updatedAt: Date;

  /** Lists the fields that may leave. */
  static from(role: Role): RoleView {
    return {
      name: role.name,
      version: versionOf(auditedRole(role)),
      description: role.description,
      permissions: [...role.permissions],
      keyPolicy: role.keyPolicy,
      isActive: role.isActive,
      createdAt: role.createdAt,
      updatedAt: role.updatedAt,
    };
  }
}

/** A page of roles, in order of name. */
export class RolesPageView {
  data: RoleView[];
  meta: PageMetaView;
}

/** One permission of the registry. */
export class PermissionView {
  /** @example "platform:api-keys:create" */
  name: string;

  /** @example "Create API keys of one’s own." */
  description: string;
}

/** Every permission there is. */
export class PermissionsView {
  data: PermissionView[];
}
