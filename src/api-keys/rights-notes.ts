import type { DataSource } from 'typeorm';
import { covers } from '../access/permission-grammar.js';
import type { Permission } from '../access/permissions.js';

/** Something an operator may want to change, and where it is so: null where there is nothing. */
export interface RightsNote {
  readonly check: string;
  readonly note: string | null;
}

interface RoleRow {
  readonly name: string;
  readonly permissions: readonly string[];
  readonly key_policy: { readonly reservedTagPrefixes?: readonly string[] } | null;
}

const TAKE_KEYS: Permission = 'platform:api-keys:update';
/** Permissions over owners, and over whose a key is. */
const OVER_OWNERS: readonly Permission[] = [
  'platform:users:update',
  'platform:users:delete',
  'platform:api-keys:assign',
];
/** Permissions over the policies of others. */
const OVER_POLICIES: readonly Permission[] = ['platform:roles:update', 'platform:roles:delete'];
/** What services commonly take for identity; policies name more. */
const IDENTITY_PREFIXES = ['plan:', 'role:'];
/** Names in one note. */
const MAX_NAMED = 10;
/** Keys that are looked at: a note needs no more. */
const MAX_KEYS = 1000;

/** Who is affected by the bounds on owners: roles and keys of an installation that was made before there were any. */
export async function findRightsNotes(dataSource: DataSource): Promise<RightsNote[]> {
  const roles = await dataSource.query<RoleRow[]>(
    'SELECT name, permissions, key_policy FROM role WHERE is_active ORDER BY name',
  );
  const bounded = roles.filter(({ permissions }) => !covers(permissions, TAKE_KEYS));
  const unbounded = bounded.filter(
    ({ permissions, key_policy: policy }) => covers(permissions, 'platform:api-keys:create') && policy === null,
  );
  const short = bounded.filter(({ permissions }) => OVER_OWNERS.some((permission) => covers(permissions, permission)));
  const hasPolicies = roles.some(({ key_policy: policy }) => policy !== null);
  const keeping = bounded.filter(
    ({ permissions }) => hasPolicies && OVER_POLICIES.some((permission) => covers(permissions, permission)),
  );
  const reserved = roles.flatMap(({ key_policy: policy }) => policy?.reservedTagPrefixes ?? []);
  const written = await findOwnersTags(dataSource, [...new Set([...IDENTITY_PREFIXES, ...reserved])]);
  return [
    {
      check: 'roles that make keys bound them',
      note: noteOf(namesOf(unbounded), 'no key policy, so the keys have no limits unless another role states some'),
    },
    {
      check: 'roles that change users may act for owners of keys',
      note: noteOf(
        namesOf(short),
        `without ${TAKE_KEYS} they cannot change users who own live keys, nor transfer keys of others`,
      ),
    },
    {
      check: 'roles that change roles may loosen key policies',
      note: noteOf(namesOf(keeping), `without ${TAKE_KEYS} they cannot take bounds and reserved tags from roles`),
    },
    {
      check: 'tags that look like a plan or a role are not by the owner',
      note: noteOf(written, 'services behind gateways see these tags'),
    },
  ];
}

/** Keys that have a tag of these prefixes by the word of their owner, or of one who manages the owner. */
async function findOwnersTags(dataSource: DataSource, prefixes: readonly string[]): Promise<string[]> {
  const patterns = prefixes.map((prefix) => `${prefix.toLowerCase().replace(/[\\%_]/g, '\\$&')}%`);
  const rows = await dataSource.query<{ id: string; permissions: string[] }[]>(
    `SELECT k.id, ARRAY(SELECT unnest(r.permissions) FROM user_role ur JOIN role r ON r.name = ur.role_name AND r.is_active WHERE ur.user_id = k.owner_id) AS permissions
       FROM api_key k
      WHERE k.revoked_at IS NULL AND EXISTS (SELECT 1 FROM unnest(k.tags) AS tag WHERE lower(tag) LIKE ANY ($1))
        AND EXISTS (
          SELECT 1 FROM audit_event e
           CROSS JOIN jsonb_array_elements(e.changes) AS change
           CROSS JOIN jsonb_array_elements_text(CASE WHEN change->>'field' = 'tags' AND jsonb_typeof(change->'after') = 'array' THEN change->'after' ELSE '[]' END) AS tag
           WHERE e.resource_type = 'api-key' AND e.resource_id = k.id::text AND e.outcome = 'success' AND lower(tag) LIKE ANY ($1) AND tag = ANY (k.tags)
             AND (e.actor_owner_id = k.owner_id OR e.actor_owner_id IN (SELECT manager_id FROM user_manager m WHERE m.user_id = k.owner_id)))
      ORDER BY k.id LIMIT $2`,
    [patterns, MAX_KEYS],
  );
  return rows.filter(({ permissions }) => !covers(permissions, TAKE_KEYS)).map(({ id }) => `key ${id}`);
}

function namesOf(roles: readonly RoleRow[]): string[] {
  return roles.map(({ name }) => `role ${name}`);
}

function noteOf(names: readonly string[], sentence: string): string | null {
  if (names.length === 0) return null;
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
  return `${names.slice(0, MAX_NAMED).join(', ')}${more}: ${sentence}; docs/operations.md, "Rights over keys"`;
}
