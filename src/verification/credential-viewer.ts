import type { Principal } from '../access/caller.js';
import type { KeyFacts } from '../key-cache/records/key-record.js';
import type { LimitViewer } from '../limits/limit-visibility.js';

/** Who is told of limits in a verdict. A gateway without a credential holds no permission. */
export type ToldPrincipal = Pick<Principal, 'id'> & Partial<Pick<Principal, 'may' | 'signedInUserId'>>;

const NONE: readonly string[] = Object.freeze([]);

/** A caller of whom nothing is known: any caller that asks about a key that no limit binds. */
export const UNKNOWN_VIEWER: LimitViewer = Object.freeze({
  ...{ seesAll: false, changesAll: false, ownerIds: NONE, projectIds: NONE, administers: NONE, keyIds: NONE },
});

/**
 * Who asks for a verdict, as far as its credential alone says: a verify asks the database about no caller. Members of a
 * project, and managers of a service account, read its numbers at the routes of limits.
 */
export function credentialViewer(principal: ToldPrincipal, key: Pick<KeyFacts, 'id' | 'ownerId'>): LimitViewer {
  const userId = principal.signedInUserId ?? null;
  const isOwnKey = principal.id === key.id || userId === key.ownerId;
  return {
    ...UNKNOWN_VIEWER,
    seesAll: principal.may?.('platform:limits:read') ?? false,
    ownerIds: userId === null ? NONE : [userId],
    keyIds: isOwnKey ? [key.id] : NONE,
  };
}
