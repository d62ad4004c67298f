import { canonicalJson } from '../common/canonical-json.js';
import { beyondKeyPolicy, cannotGrant, permissionDenied, unauthenticated } from './access.errors.js';
import type { Principal } from './caller.js';
import type { GrantsReader, Holder } from './grants.reader.js';
import { type KeyPolicy, widest } from './key-policy.js';
import { policyContains } from './key-policy-order.js';
import { containsAll, covers, intersect } from './permission-grammar.js';
import type { Permission } from './permissions.js';

/**
 * What a caller may do and hand out at this point of a change: read from rows that are locked until it commits, not
 * from the start of the request. Nobody hands out what he does not hold; nobody whom a key policy binds lets himself
 * or another out of it.
 */
export class Authority {
  constructor(
    readonly grants: readonly string[],
    /** What binds the keys he makes; null: nothing does. */
    private readonly policy: KeyPolicy | null,
  ) {}

  /**
   * The authority of `principal`. Call it inside a change, after `holder` (his user, or the key's owner) was locked by
   * the same reader. A key has no more than when the request began, and no more than its roles and owner have now.
   *
   * @throws DomainError 401 when he was disabled or deleted since the request began
   */
  static async of(principal: Principal, holder: Holder | null, reader: GrantsReader): Promise<Authority> {
    if (!holder?.isActive) throw unauthenticated(true);
    const grants = principal.kind === 'user' ? holder.grants : await grantsOfKeyNow(principal, holder, reader);
    return new Authority(grants, covers(grants, 'platform:api-keys:update') ? null : widest(holder.policies));
  }

  /** @throws DomainError 403 PERMISSION_DENIED when the permission the route asks for is gone by now */
  requirePermission(permission: Permission): void {
    if (!covers(this.grants, permission)) throw permissionDenied(permission);
  }

  /** @throws DomainError 403 CANNOT_GRANT naming what the caller lacks of `grants` */
  requireHolding(grants: readonly string[]): void {
    const lacking = [...new Set(grants)].filter((grant) => !containsAll(this.grants, [grant]));
    if (lacking.length > 0) throw cannotGrant(lacking.sort());
  }

  /**
   * Before the caller gets at, or makes, somebody who may create keys of his own.
   *
   * @throws DomainError 403 OUTSIDE_POLICY when that one's policy would allow keys that the caller's does not
   */
  requireWithinPolicy(other: { readonly grants: readonly string[]; readonly policies: readonly (KeyPolicy | null)[] }): void {
    if (this.policy === null || !covers(other.grants, 'platform:api-keys:create')) return;
    if (!policyContains(this.policy, widest(other.policies))) throw beyondKeyPolicy();
  }

  /**
   * Before a role changes from `before` to `after`. Who is bound may neither take bounds from a role (and so from all who
   * have it, perhaps himself), nor state wider ones than his own, nor let a role create keys without stating any.
   *
   * @throws DomainError 403 OUTSIDE_POLICY
   */
  requireRoleWithinPolicy(before: RoleBounds | null, after: RoleBounds): void {
    if (this.policy === null) return;
    const stated = effectivePolicy(after);
    const policyChanges = canonicalJson(before && effectivePolicy(before)) !== canonicalJson(stated);
    const mayCreateNow = mayCreateKeys(after) && !(before && mayCreateKeys(before));
    if (!policyChanges && !mayCreateNow) return;
    if (stated === null || !policyContains(this.policy, stated)) throw beyondKeyPolicy();
  }
}

/** As much of a role as bounds the keys of those who have it. */
export interface RoleBounds {
  readonly permissions: readonly string[];
  readonly keyPolicy: KeyPolicy | null;
  readonly isActive: boolean;
}

function effectivePolicy(role: RoleBounds): KeyPolicy | null {
  return role.isActive ? role.keyPolicy : null;
}

function mayCreateKeys(role: RoleBounds): boolean {
  return role.isActive && covers(role.permissions, 'platform:api-keys:create');
}

async function grantsOfKeyNow(principal: Principal, owner: Holder, reader: GrantsReader): Promise<string[]> {
  const { grants } = await reader.grantsOfRoles(principal.roles, 'share');
  return intersect(principal.grants, intersect(grants, owner.grants));
}
