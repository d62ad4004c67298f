import type { Permission } from './permissions.js';
import type { Principal } from './caller.js';

/** Why somebody may act on a thing: because it is his, or because he holds the permission. */
export type Standing = 'owner' | 'permission';

/** Whose a thing is: its owner, and the managers of an owner that is a service account. */
export interface Ownership {
  readonly ownerId: string;
  readonly managerIds: readonly string[];
}

/**
 * The one rule of `@OwnerOr`. The permission counts first, since it allows more than owning; null means
 * that the caller may not even know that the thing exists.
 */
export function standingOn(principal: Principal, permission: Permission, thing: Ownership): Standing | null {
  if (principal.may(permission)) return 'permission';
  const userId = principal.signedInUserId;
  if (userId !== null && (thing.ownerId === userId || thing.managerIds.includes(userId))) return 'owner';
  return null;
}
