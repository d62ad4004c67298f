import type { Permission } from './permissions.js';
import type { Principal } from './caller.js';

/** Why a caller may act on a thing: as its owner, or by the permission. */
export type AccessBasis = 'owner' | 'permission';

/** Whose a thing is: its owner, and the managers of an owner that is a service account. */
export interface Ownership {
  readonly ownerId: string;
  readonly managerIds: readonly string[];
}

/**
 * The one rule of `@OwnerOr`. The permission counts first, since it allows more than owning; null means
 * that the caller may not even know that the thing exists.
 */
export function accessBasisOn(principal: Principal, permission: Permission, thing: Ownership): AccessBasis | null {
  if (principal.may(permission)) return 'permission';
  return owns(principal, thing) ? 'owner' : null;
}

/** Whether the caller is a signed-in owner of the thing, or manages its owner. */
export function owns({ signedInUserId: userId }: Principal, { ownerId, managerIds }: Ownership): boolean {
  return userId !== null && (ownerId === userId || managerIds.includes(userId));
}
