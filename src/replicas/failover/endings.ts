import type { FeedRow } from '../../key-cache/records/change.js';

/** What lost changes had ended, and has to be ended again. */
export interface LostEndings {
  /** Keys that were revoked or deleted. They are revoked: a key that is deleted by mistake cannot be brought back. */
  readonly revokedKeys: ReadonlyMap<string, FeedRow>;
  /** Keys that were deactivated last. */
  readonly inactiveKeys: ReadonlyMap<string, FeedRow>;
  /** Public ids of secrets that were ended. */
  readonly endedKids: ReadonlyMap<string, FeedRow>;
  /** Public ids of secrets that were replaced, each with the row that says how long it was to work on. */
  readonly replacedKids: ReadonlyMap<string, FeedRow>;
  /** Users that were deactivated last, or deleted. They are deactivated. */
  readonly inactiveUsers: ReadonlyMap<string, FeedRow>;
  /** Projects that were deactivated last. A deleted one had no key that worked. */
  readonly inactiveProjects: ReadonlyMap<string, FeedRow>;
  /**
   * Users some of whose sessions were ended, by a sign-out, a new password or a second factor. All that were open then
   * are ended.
   */
  readonly signedOutUsers: ReadonlyMap<string, FeedRow>;
  /**
   * Users whose second factor was removed, whether or not another one was set up behind it: that one is lost as well.
   */
  readonly resetUsers: ReadonlyMap<string, FeedRow>;
}

/**
 * What is to be ended again of lost changes, given in their order. Only endings: a change that narrowed something is
 * named, and not made again, because what it narrowed may have changed differently since.
 */
export function endingsOf(lost: readonly FeedRow[]): LostEndings {
  const revokedKeys = new Map<string, FeedRow>();
  const inactiveKeys = new Map<string, FeedRow>();
  const endedKids = new Map<string, FeedRow>();
  const replacedKids = new Map<string, FeedRow>();
  const inactiveUsers = new Map<string, FeedRow>();
  const inactiveProjects = new Map<string, FeedRow>();
  const signedOutUsers = new Map<string, FeedRow>();
  const resetUsers = new Map<string, FeedRow>();
  for (const row of lost) {
    const { endings, resourceId: id } = row;
    if (id !== null && endsSessions(row)) signedOutUsers.set(id, row);
    if (id !== null && row.action === 'second-factors:delete') resetUsers.set(id, row);
    if (endings === null || id === null) continue;
    const inactive = { user: inactiveUsers, project: inactiveProjects }[row.resourceType] ?? inactiveKeys;
    if (endings.isActive === false) inactive.set(id, row);
    if (endings.isActive === true) inactive.delete(id);
    if (endings.isRevoked && row.resourceType !== 'project')
      (row.resourceType === 'user' ? inactiveUsers : revokedKeys).set(id, row);
    for (const kid of endings.endedKids) endedKids.set(kid, row);
    if (endings.replaced) replacedKids.set(endings.replaced.kid, row);
  }
  return {
    revokedKeys,
    inactiveKeys,
    endedKids,
    replacedKids,
    inactiveUsers,
    inactiveProjects,
    signedOutUsers,
    resetUsers,
  };
}

/** Acts on a user that end sessions; of a second factor, setting one up, and removing that of another person. */
const SESSION_ENDINGS: ReadonlySet<string> = new Set([
  'auth:logout',
  'sessions:revoke',
  'second-factors:activate',
  'second-factors:delete',
]);

/**
 * A new password is the one update of a user that names no field. Who removes their own second factor ends no session,
 * but the feed does not tell who did it; they sign in once more.
 */
function endsSessions({ action, resourceType, hasChanges }: FeedRow): boolean {
  if (resourceType !== 'user') return false;
  return SESSION_ENDINGS.has(action) || (action === 'users:update' && !hasChanges);
}
