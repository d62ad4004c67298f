import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { inOneTrip, prepared } from '../database/in-one-trip.js';
import { type KeyPolicy, widest } from './key-policy.js';
import { intersect } from './permission-grammar.js';

/** What one user holds: the grants and key policies of the user's active roles. */
export interface UserGrants {
  readonly id: string;
  readonly name: string;
  readonly kind: 'person' | 'service';
  /** Neither inactive nor deleted. */
  readonly isActive: boolean;
  /** Whether another person chose the password, and it has not been changed since. */
  readonly hasTemporaryPassword: boolean;
  /** null: the configured cap. */
  readonly maxActiveKeys: number | null;
  readonly managerIds: readonly string[];
  /** Active ones only. */
  readonly roles: readonly string[];
  readonly grants: readonly string[];
  readonly policies: readonly (KeyPolicy | null)[];
  /** What any role of the installation reserves, held by this user or not, active or not. */
  readonly reservedTagPrefixes: readonly string[];
  /** What all assigned roles grant, inactive ones included: what the user holds as soon as they are active again. */
  readonly assignedGrants: readonly string[];
}

/** How firmly `holders` reads: `share` holds off changes of roles until commit, `update` also other holders' locks. */
export type HolderLock = 'none' | 'share' | 'update';

interface RoleRow {
  user_id: string;
  name: string;
  permissions: string[];
  key_policy: KeyPolicy | null;
  is_active: boolean;
}

interface UserRow {
  id: string;
  name: string;
  kind: 'person' | 'service';
  is_active: boolean;
  password_is_temporary: boolean;
  max_active_keys: number | null;
  manager_ids: string[];
  reserved_tag_prefixes: string[];
}

/** A user with all roles of theirs, as a read without locks gives both. */
interface AssignedRow extends UserRow {
  assigned: RoleRow[];
}

const USER = `id, name, kind, is_active, password_is_temporary, max_active_keys, ARRAY(SELECT manager_id FROM user_manager m WHERE m.user_id = u.id ORDER BY 1) AS manager_ids,
  ARRAY(SELECT DISTINCT jsonb_array_elements_text(key_policy->'reservedTagPrefixes') FROM role ORDER BY 1) AS reserved_tag_prefixes`;
const LOCK_USER = {
  share: { name: 'hold-user', text: 'SELECT 1 FROM users WHERE id = $1 FOR SHARE' },
  update: { name: 'lock-user', text: 'SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE' },
} as const;
const ROLE = 'r.name, r.permissions, r.key_policy, r.is_active';
const READ_USERS = `
  SELECT ${USER}, (SELECT coalesce(json_agg(a ORDER BY a.name), '[]')
                     FROM (SELECT ur.user_id, ${ROLE} FROM user_role ur JOIN role r ON r.name = ur.role_name WHERE ur.user_id = u.id) AS a) AS assigned
    FROM users u WHERE deleted_at IS NULL AND`;

/**
 * Reads who holds what. Inside a change it locks what it reads, so that a check of grants beside a change
 * of roles never grants too much: users before roles, each in order of id.
 */
@Injectable()
export class GrantsReader {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): GrantsReader {
    return new GrantsReader(tx);
  }

  /** One user, or null when there is none (deleted ones count as none). */
  async findHolder(id: string, lock: HolderLock = 'none'): Promise<UserGrants | null> {
    return (await this.holders(new Map([[id, lock]]))).get(id) ?? null;
  }

  /** Users by id, each locked as asked, in one round trip. Ids that do not exist are absent from the answer. */
  async holders(wanted: ReadonlyMap<string, HolderLock>): Promise<Map<string, UserGrants>> {
    const ids = [...wanted.keys()];
    const locks = [...wanted].filter(([, lock]) => lock !== 'none').sort(([a], [b]) => (a < b ? -1 : 1));
    if (locks.length === 0) return this.read(ids);
    const answers = await inOneTrip(this.manager, [
      ...locks.map(([id, lock]) => ({ ...LOCK_USER[lock as keyof typeof LOCK_USER], values: [id] })),
      {
        name: 'held-users',
        text: `SELECT ${USER} FROM users u WHERE id = ANY($1) AND deleted_at IS NULL`,
        values: [ids],
      },
      {
        name: 'hold-roles-of-users',
        text: `SELECT ur.user_id, ${ROLE} FROM user_role ur JOIN role r ON r.name = ur.role_name
                WHERE ur.user_id = ANY($1) ORDER BY r.name, ur.user_id FOR SHARE OF r`,
        values: [ids],
      },
    ]);
    const [users, roles] = answers.slice(locks.length) as [UserRow[], RoleRow[]];
    return new Map(
      users.map((user) => [
        user.id,
        holderOf(
          user,
          roles.filter((role) => role.user_id === user.id),
        ),
      ]),
    );
  }

  /** In one round trip, as every call of a person needs it. */
  private async read(ids: readonly string[]): Promise<Map<string, UserGrants>> {
    const [id, ...others] = ids;
    const users =
      id !== undefined && others.length === 0
        ? await prepared<AssignedRow>(this.manager, { name: 'read-user', text: `${READ_USERS} id = $1`, values: [id] })
        : await this.manager.query<AssignedRow[]>(`${READ_USERS} id = ANY($1)`, [ids]);
    return new Map(users.map((user) => [user.id, holderOf(user, user.assigned)]));
  }

  /**
   * The grants of roles by name; names that do not exist or are inactive give none. `assigned`: those of inactive ones
   * too.
   */
  async grantsOfRoles(
    names: readonly string[],
    lock: 'none' | 'share' = 'none',
  ): Promise<{ known: string[]; grants: string[]; assigned: string[] }> {
    if (names.length === 0) return { known: [], grants: [], assigned: [] };
    const rows = await this.manager.query<{ name: string; permissions: string[]; is_active: boolean }[]>(
      `SELECT name, permissions, is_active FROM role WHERE name = ANY($1) ORDER BY name ${lock === 'share' ? 'FOR SHARE' : ''}`,
      [names],
    );
    return {
      known: rows.map((row) => row.name),
      grants: rows.filter((row) => row.is_active).flatMap((row) => row.permissions),
      assigned: rows.flatMap((row) => row.permissions),
    };
  }
}

/** A key's effective grants: its roles' within its owner's. */
export function grantsOfKey(roleGrants: readonly string[], ownerGrants: readonly string[]): string[] {
  return intersect(roleGrants, ownerGrants);
}

/**
 * What the keys must lie inside that this user makes without `platform:api-keys:update`; null: nothing. Services trust
 * a reserved tag on every key, so what one role reserves binds those without that role, too.
 */
export function keyPolicyOf({
  policies,
  reservedTagPrefixes,
}: Pick<UserGrants, 'policies' | 'reservedTagPrefixes'>): KeyPolicy | null {
  return widest(reservedTagPrefixes.length === 0 ? policies : [...policies, { reservedTagPrefixes }]);
}

function holderOf(user: UserRow, assigned: readonly RoleRow[]): UserGrants {
  const roles = assigned.filter((role) => role.is_active);
  return {
    id: user.id,
    name: user.name,
    kind: user.kind,
    isActive: user.is_active,
    hasTemporaryPassword: user.password_is_temporary,
    maxActiveKeys: user.max_active_keys,
    managerIds: user.manager_ids,
    roles: roles.map((role) => role.name),
    grants: [...new Set(roles.flatMap((role) => role.permissions))],
    policies: roles.map((role) => role.key_policy),
    reservedTagPrefixes: user.reserved_tag_prefixes,
    assignedGrants: [...new Set(assigned.flatMap((role) => role.permissions))],
  };
}
