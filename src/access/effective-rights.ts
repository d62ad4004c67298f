import { canonicalJson } from '../common/canonical-json.js';
import { beyondKeyPolicy, permissionDenied, unauthenticated } from './access.errors.js';
import { requireHeld } from './held-grants.js';
import type { Principal } from './caller.js';
import type { GrantsReader, UserGrants } from './grants.reader.js';
import { type KeyPolicy, widest } from './key-policy.js';
import { policyContains } from './key-policy-order.js';
import { covers, intersect } from './permission-grammar.js';
import type { Permission } from './permissions.js';

/**
 * What a caller may do and hand out at this point of a change: read from rows that are locked until it commits, not
 * from the start of the request. No caller hands out more than the caller holds, and none whom a key policy binds
 * leaves it or lets another out of it.
 */
export class EffectiveRights {
  constructor(
    readonly grants: readonly string[],
    /** What binds the keys that the caller makes; null: nothing does. */
    private readonly policy: KeyPolicy | null,
  ) {}

  /**
   * The authority of `principal`, whose user or owner `lock` locks by `reader`, in one round trip. Call it inside a
   * change. A key has no more than when the request began, and no more than its roles and owner have now.
   *
   * @throws DomainError 401 when the user was deactivated or deleted since the request began
   */
  static async locked(
    { kind, ownerId, roles, grants: before }: Principal,
    reader: GrantsReader,
    lock: Promise<ReadonlyMap<string, UserGrants>>,
  ): Promise<{ rights: EffectiveRights; holders: ReadonlyMap<string, UserGrants> }> {
    const [holders, ofRoles] = await Promise.all([lock, kind === 'user' ? null : reader.grantsOfRoles(roles, 'share')]);
    const holder = holders.get(ownerId);
    if (!holder?.isActive) throw unauthenticated(true);
    const grants = ofRoles === null ? holder.grants : intersect(before, intersect(ofRoles.grants, holder.grants));
    return {
      rights: new EffectiveRights(grants, covers(grants, 'platform:api-keys:update') ? null : widest(holder.policies)),
      holders,
    };
  }

  /** @throws DomainError 403 PERMISSION_DENIED when the permission the route asks for is gone by now */
  requirePermission(permission: Permission): void {
    if (!this.holds(permission)) throw permissionDenied(permission);
  }

  /** Whether the caller has the permission at this point of the change. */
  holds(permission: Permission): boolean {
    return covers(this.grants, permission);
  }

  /** @throws DomainError 403 CANNOT_GRANT naming what the caller lacks of `grants` */
  requireHolding(grants: readonly string[]): void {
    requireHeld(this.grants, grants);
  }

  /**
   * Before the caller gets at, or makes, a user who may create keys.
   *
   * @throws DomainError 403 OUTSIDE_POLICY when that one's policy would allow keys that the caller's does not
   */
  requireWithinPolicy(other: {
    readonly grants: readonly string[];
    readonly policies: readonly (KeyPolicy | null)[];
  }): void {
    if (this.policy === null || !covers(other.grants, 'platform:api-keys:create')) return;
    if (!policyContains(this.policy, widest(other.policies))) throw beyondKeyPolicy();
  }

  /**
   * Before a role changes from `before` to `after`. Who is bound may neither take bounds from a role (and so from all
   * who have it, perhaps the caller), nor state wider ones than their own, nor let a role create keys without stating
   * any.
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

  /**
   * Before a role changes, is deactivated or is deleted (`after` is null), so that a bound or a reserved tag of its
   * policy is gone: keys of all who have the role, or of everybody, may then be made or tagged otherwise.
   *
   * @throws DomainError 403 PERMISSION_DENIED
   */
  requireMayLoosenRole(before: RoleBounds, after: RoleBounds | null): void {
    this.requireMayLoosen(before.keyPolicy, after?.keyPolicy ?? null);
    this.requireMayLoosen(effectivePolicy(before), after && effectivePolicy(after));
  }

  /**
   * Before the roles of a user who makes keys change, or what they say, so that a bound on these keys is gone. What
   * roles reserve of tags binds everybody, with the role or without it.
   *
   * @throws DomainError 403 PERMISSION_DENIED
   */
  requireMayLoosenUser(before: readonly (KeyPolicy | null)[], after: readonly (KeyPolicy | null)[]): void {
    this.requireMayLoosen(boundsOf(before), boundsOf(after));
  }

  /** The one rule: who leaves out a bound must be able to change every key. */
  private requireMayLoosen(before: KeyPolicy | null, after: KeyPolicy | null): void {
    if (before !== null && !policyContains(before, after)) this.requirePermission('platform:api-keys:update');
  }
}

/** As much of a role as bounds the keys of those who have it. */
export interface RoleBounds {
  readonly permissions: readonly string[];
  readonly keyPolicy: KeyPolicy | null;
  readonly isActive: boolean;
}

/** What a role says of keys at this moment. */
export function effectivePolicy(role: RoleBounds): KeyPolicy | null {
  return role.isActive ? role.keyPolicy : null;
}

/** What binds keys that a user with these policies makes, reserved tags left out. */
function boundsOf(policies: readonly (KeyPolicy | null)[]): KeyPolicy | null {
  const policy = widest(policies);
  return policy && { ...policy, reservedTagPrefixes: [] };
}

function mayCreateKeys(role: RoleBounds): boolean {
  return role.isActive && covers(role.permissions, 'platform:api-keys:create');
}
