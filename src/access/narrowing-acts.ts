/**
 * Acts of the trail that take access away, or are how it is taken away. They have a lane and a rate of their own: no
 * flood of other requests, the caller's own included, delays them. A batch counts by what it does to each entry.
 */
export const NARROWING_ACTS: ReadonlySet<string> = new Set([
  'api-keys:revoke',
  'api-keys:deactivate',
  'api-keys:delete',
  'api-key-secrets:delete',
  'hand-overs:end',
  'users:update',
  'users:delete',
  'users:erase',
  'limits:update',
  'projects:update',
  'projects:delete',
  'roles:update',
  'roles:delete',
  'auth:logout',
  'sessions:revoke',
  'second-factors:delete',
  'system:history-lost',
]);
