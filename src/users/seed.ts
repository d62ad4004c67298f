import { randomBytes } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import { systemCaller } from '../access/caller.js';
import { bindPassword } from '../access/credential-binding.js';
import { changeAlone } from '../audit/change-alone.js';
import type { Change, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { uuidv7 } from '../common/uuid.js';
import type { Config } from '../config/config.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { BIND_ACTION } from '../installation/bindings/bind-action.js';
import { auditedUser } from './audited-user.js';
import { hashPassword } from './password.js';
import { UsersRepository } from './users.repository.js';

/** The roles every installation starts with; all but `admin` may be edited. */
export const SEEDED_ROLES: readonly { name: string; description: string; permissions: readonly string[] }[] = [
  { name: 'admin', description: 'May do everything.', permissions: ['*'] },
  { name: 'creator', description: 'May create keys of his own.', permissions: ['platform:api-keys:create'] },
  { name: 'user', description: 'May use and watch the keys he was given.', permissions: [] },
  { name: 'auditor', description: 'May read everything and export the audit trail.', permissions: ['platform:*:read', 'platform:audit:export'] },
  { name: 'gateway', description: 'A service that verifies keys and reports their usage.', permissions: ['platform:api-keys:verify', 'platform:usage:report'] },
];

/** The first admin of an installation; `password` only when it was generated just now. */
export interface FirstAdmin {
  readonly email: string;
  readonly password: string | null;
}

/**
 * Adds the seeded roles where there is none and, where no user ever existed, the first admin; both are in the audit
 * trail, done by the server itself. Replicas may call it at once: one creates the admin and learns the password.
 */
export async function seed(
  changes: Changes,
  admin: { email: string; password: string | null },
  { peppers }: Pick<Config, 'peppers'>,
): Promise<FirstAdmin | null> {
  const password = admin.password ?? generatedPassword();
  // Hashing takes its time; no lock waits for it.
  const passwordHash = await hashPassword(password);
  return changeAlone(changes, systemCaller('users:create'), ADVISORY_LOCKS.seed, async (change) => {
    const { tx } = change;
    if (!(await anyIn(tx, 'role'))) await seedRoles(change);
    if (await anyIn(tx, 'users')) return null;
    await insertAdmin(change, admin.email, passwordHash, peppers);
    // Nothing is in this database that the release before has stored.
    change.record({ action: BIND_ACTION, resourceType: 'system', resourceId: null });
    return { email: admin.email, password: admin.password === null ? password : null };
  });
}

/** 120 random bits, as text to be copied from a terminal. */
export function generatedPassword(): string {
  return randomBytes(15).toString('base64url');
}

/** Adds a local admin. */
export async function insertAdmin({ tx, record }: Change, email: string, passwordHash: string, peppers: Config['peppers']): Promise<string> {
  const id = uuidv7();
  const { binding } = bindPassword(peppers, id, passwordHash);
  await tx.query(
    `INSERT INTO users (id, email, name, kind, password_hash, password_binding, password_binding_version)
     VALUES ($1, $2, 'Administrator', 'person', $3, $4, $5)`,
    [id, email, passwordHash, binding.mac, binding.version],
  );
  await tx.query(`INSERT INTO user_role (user_id, role_name) VALUES ($1, 'admin')`, [id]);
  const created = await new UsersRepository(tx).findById(id);
  record({ action: 'users:create', resourceType: 'user', resourceId: id, changes: diff(null, auditedUser(created!)) });
  return id;
}

async function seedRoles({ tx, record }: Change): Promise<void> {
  for (const { name, description, permissions } of SEEDED_ROLES) {
    await tx.query('INSERT INTO role (name, description, permissions, is_seeded) VALUES ($1, $2, $3, true)', [name, description, permissions]);
    const after = { description, permissions, keyPolicy: null, isActive: true };
    record({ action: 'roles:create', resourceType: 'role', resourceId: name, changes: diff(null, after) });
  }
}

async function anyIn(tx: EntityManager, table: 'role' | 'users'): Promise<boolean> {
  return (await tx.query<unknown[]>(`SELECT 1 FROM ${table} LIMIT 1`)).length > 0;
}
