import type { ProofDatabase } from '../harness/cluster.js';
import type { World } from './world.js';

/** Ends that the experiment knows by its own clock. */
const TOLERANCE_MS = 60_000;

interface KeyRow {
  readonly id: string;
  readonly owner_id: string;
  readonly roles: string[];
  readonly rate_limit_per_minute: number | null;
  readonly tags: string[];
  readonly is_active: boolean;
  readonly is_revoked: boolean;
  readonly expires_at: Date | null;
  readonly max_expires_at: Date | null;
}

/** Where the database is not what the model says: what was changed although it was refused, or more than was asked. */
export async function differences(database: ProofDatabase, world: World): Promise<string[]> {
  return [
    ...(await keyDifferences(database, world)),
    ...(await userDifferences(database, world)),
    ...(await roleDifferences(database, world)),
  ];
}

async function keyDifferences(database: ProofDatabase, world: World): Promise<string[]> {
  const rows = await database.query<KeyRow>(
    `SELECT id, owner_id, roles, rate_limit_per_minute, tags, is_active, revoked_at IS NOT NULL AS is_revoked, expires_at, max_expires_at FROM api_key WHERE id = ANY($1)`,
    [[...world.keys.keys()]],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return [...world.keys.values()].flatMap((key) => {
    const row = byId.get(key.id);
    if (row === undefined) return [`key ${key.id} is gone`];
    const found = {
      ownerId: row.owner_id,
      roles: row.roles,
      rate: row.rate_limit_per_minute,
      tags: row.tags,
      isActive: row.is_active,
      isRevoked: row.is_revoked,
    };
    const { ownerId, roles, rateLimitPerMinute: rate, tags, isActive, isRevoked } = key;
    const passed = row.max_expires_at !== null && (row.expires_at === null || row.expires_at > row.max_expires_at);
    const isMaxKnown =
      Math.abs((row.max_expires_at?.getTime() ?? 0) - (key.maxExpiresAt?.getTime() ?? 0)) < TOLERANCE_MS;
    return [
      ...compared(`key ${key.id}`, found, { ownerId, roles, rate, tags, isActive, isRevoked }),
      ...(passed ? [`key ${key.id} ends ${String(row.expires_at)}, behind ${String(row.max_expires_at)}`] : []),
      ...(isMaxKnown
        ? []
        : [`key ${key.id}: the fixed end is ${String(row.max_expires_at)}, should be ${String(key.maxExpiresAt)}`]),
    ];
  });
}

async function userDifferences(database: ProofDatabase, world: World): Promise<string[]> {
  const rows = await database.query<{ id: string; is_active: boolean; roles: string[]; managers: string[] }>(
    `SELECT id, is_active, ARRAY(SELECT role_name FROM user_role WHERE user_id = u.id) AS roles, ARRAY(SELECT manager_id::text FROM user_manager WHERE user_id = u.id) AS managers
       FROM users u WHERE id = ANY($1) AND deleted_at IS NULL`,
    [[...world.users.keys()]],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return [...world.users.values()].flatMap(({ id, isActive, roles, managerIds }) => {
    const row = byId.get(id);
    if (row === undefined) return [`user ${id} is gone`];
    return compared(
      `user ${id}`,
      { isActive: row.is_active, roles: row.roles, managerIds: row.managers },
      { isActive, roles, managerIds },
    );
  });
}

async function roleDifferences(database: ProofDatabase, world: World): Promise<string[]> {
  const rows = await database.query<{
    name: string;
    permissions: string[];
    key_policy: object | null;
    is_active: boolean;
  }>('SELECT name, permissions, key_policy, is_active FROM role');
  const byName = new Map(rows.map((row) => [row.name, row]));
  return [...world.roles.values()].flatMap(({ name, permissions, keyPolicy, isActive }) => {
    const row = byName.get(name);
    if (row === undefined) return [`role ${name} is gone`];
    return compared(
      `role ${name}`,
      { permissions: row.permissions, keyPolicy: row.key_policy, isActive: row.is_active },
      { permissions, keyPolicy, isActive },
    );
  });
}

function compared(what: string, found: object, expected: object): string[] {
  const [is, should] = [JSON.stringify(sorted(found)), JSON.stringify(sorted(expected))];
  return is === should ? [] : [`${what} is ${is}, should be ${should}`];
}

/** Lists are sets here, and the order of members says nothing. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(String).sort();
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]),
  );
}
