/** Grants that people have beside those they need; each matches a registered permission. */
export const GRANTS = [
  'platform:*:read',
  'platform:api-keys:create',
  'platform:api-keys:read',
  'platform:api-keys:verify',
  'platform:usage:*',
  'platform:usage:report',
  'platform:users:read',
  'platform:roles:read',
  'platform:audit:*',
  'platform:audit:export',
  '*:*:verify',
  'platform:system:read',
] as const;

/** Grants of roles that come and go; some reach far. */
export const ROLE_GRANTS = [
  ...GRANTS,
  '*',
  'platform:*',
  'platform:*:*',
  '*:*:create',
  '*:api-keys:*',
  'platform:api-keys:*',
  'platform:users:*',
  'platform:users:update',
] as const;

const WORDS = [
  'platform',
  'api-keys',
  'usage',
  'users',
  'roles',
  'audit',
  'system',
  'create',
  'read',
  'update',
  'delete',
  'assign',
  'verify',
  'export',
  'report',
  'new-word',
];

/**
 * Every permission that these grants can tell apart, unknown words included: grants are compared as sets of
 * permissions, so that this oracle shares no grammar with the product.
 */
const UNIVERSE = [
  ...WORDS,
  ...WORDS.flatMap((one) => WORDS.map((two) => `${one}:${two}`)),
  ...WORDS.flatMap((one) =>
    WORDS.flatMap((two) => WORDS.flatMap((three) => [`${one}:${two}:${three}`, `${one}:${two}:${three}:new-word`])),
  ),
];
const PLACES = new Map(UNIVERSE.map((permission, place) => [permission, place]));

/** A set of permissions: a bit for each of the universe. */
export type Permissions = bigint;

const matched = new Map<string, Permissions>();

/** What any of the grants matches. */
export function permissionsOf(grants: readonly string[]): Permissions {
  return grants.reduce((set, grant) => set | ofOne(grant), 0n);
}

export function includes(set: Permissions, permission: string): boolean {
  return ((set >> BigInt(PLACES.get(permission)!)) & 1n) === 1n;
}

export function isInside(inner: Permissions, outer: Permissions): boolean {
  return (inner & ~outer) === 0n;
}

function ofOne(grant: string): Permissions {
  const known = matched.get(grant);
  if (known !== undefined) return known;
  const segments = grant.split(':');
  const source = segments
    .map((segment, index) => (segment !== '*' ? segment : index === segments.length - 1 ? '.+' : '[^:]+'))
    .join(':');
  const shape = new RegExp(`^${source}$`);
  const digits = UNIVERSE.map((permission) => (shape.test(permission) ? '1' : '0')).reverse();
  const set = BigInt(`0b${digits.join('')}`);
  matched.set(grant, set);
  return set;
}
