/**
 * Every permission there is, each with the sentence that the console and `GET /permissions` show. Routes
 * name permissions by this table's keys, so a misspelt one does not compile.
 */
export const PERMISSIONS = {
  'platform:api-keys:create': 'Create API keys of one’s own.',
  'platform:api-keys:read': 'See all API keys and their usage.',
  'platform:api-keys:update': 'Change any API key, loosening included; regenerate, renew, activate and deactivate it.',
  'platform:api-keys:delete': 'Revoke and delete any API key.',
  'platform:api-keys:assign':
    'Create keys for others, import keys, put keys into projects, transfer keys, and offer owners their next secret.',
  'platform:api-keys:verify': 'Ask whether a key may do something. Given to services and gateways.',
  'platform:usage:read': 'See usage and spending over all keys.',
  'platform:usage:report': 'Report, settle and release the usage of keys. Given to services and gateways.',
  'platform:users:create': 'Add people and service accounts.',
  'platform:users:read': 'See people and service accounts.',
  'platform:users:update': 'Change people and service accounts, their roles and passwords.',
  'platform:users:delete': 'Off-board people and service accounts, and erase people.',
  'platform:roles:create': 'Add roles.',
  'platform:roles:read': 'See roles, their grants and key policies.',
  'platform:roles:update': 'Change roles, their grants and key policies.',
  'platform:roles:delete': 'Delete roles that nobody holds.',
  'platform:projects:create': 'Add projects.',
  'platform:projects:read': 'See projects.',
  'platform:projects:update': 'Change projects, deactivate them, and choose their members.',
  'platform:projects:delete': 'Delete projects.',
  'platform:limits:create': 'Add limits on keys, owners, projects and the installation.',
  'platform:limits:read': 'See all limits, their accounts and what is spent of them.',
  'platform:limits:update': 'Change limits, and give single members amounts of their own.',
  'platform:limits:delete': 'Delete limits.',
  'platform:audit:read': 'Read the audit trail.',
  'platform:audit:export': 'Export the audit trail and verify its chain.',
  'platform:system:read': 'See the replicas and how fresh they are.',
} as const;

/** The name of a permission, `area:resource:action`. */
export type Permission = keyof typeof PERMISSIONS;
