import type { ApiKey } from '../api-key.entity.js';
import type { LockedKey } from './locked-key.js';

/** The fields that say whether a key is active, and who deactivated it. */
export type KeyActivity = Pick<ApiKey, 'isActive' | 'deactivatedAt' | 'deactivatedBy'>;

/**
 * A key activated or deactivated; the one function behind activate, deactivate, `isActive` and create-or-renew. Doing
 * what is done already changes nothing, above all not who did it: an owner cannot take over the deactivation by another
 * person and then undo it. The other way round it counts: with the permission, a deactivation by the owner is taken
 * over, so that the owner cannot undo it any more.
 */
export function activityOf(held: LockedKey, isActive: boolean): KeyActivity {
  const { key, caller, now } = held;
  if (isActive) return { isActive: true, deactivatedAt: null, deactivatedBy: null };
  if (!key.isActive && !takesOver(held)) {
    return { isActive: false, deactivatedAt: key.deactivatedAt, deactivatedBy: key.deactivatedBy };
  }
  return { isActive: false, deactivatedAt: now, deactivatedBy: caller.principal.ownerId };
}

function takesOver({ key, caller, standing, isOwn, parties }: LockedKey): boolean {
  if (
    standing !== 'permission' ||
    isOwn ||
    key.deactivatedBy === caller.principal.ownerId ||
    key.deactivatedBy === null
  )
    return false;
  return key.deactivatedBy === key.ownerId || parties.owner.managerIds.includes(key.deactivatedBy);
}
