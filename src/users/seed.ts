import type { DataSource } from 'typeorm';
import { hashPassword } from './password.js';
import { randomBytes } from 'node:crypto';
import { uuidv7 } from '../common/uuid.js';

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
 * Adds the seeded roles that are missing and, where no user exists at all, the first admin. Replicas may
 * call it at once; one of them creates the admin and learns the password.
 */
export async function seed(dataSource: DataSource, admin: { email: string; password: string | null }): Promise<FirstAdmin | null> {
  return dataSource.transaction(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock(4242002)');
    const [roles] = await tx.query<{ count: number }[]>('SELECT count(*)::int AS count FROM role');
    if (roles!.count === 0) {
      for (const role of SEEDED_ROLES) {
        await tx.query('INSERT INTO role (name, description, permissions, is_seeded) VALUES ($1, $2, $3, true)', [role.name, role.description, role.permissions]);
      }
    }
    const [users] = await tx.query<unknown[]>('SELECT 1 FROM users LIMIT 1');
    if (users) return null;
    const password = admin.password ?? randomBytes(15).toString('base64url');
    const id = uuidv7();
    await tx.query(`INSERT INTO users (id, email, name, kind, password_hash) VALUES ($1, $2, 'Administrator', 'person', $3)`, [id, admin.email, await hashPassword(password)]);
    await tx.query(`INSERT INTO user_role (user_id, role_name) VALUES ($1, 'admin')`, [id]);
    return { email: admin.email, password: admin.password === null ? password : null };
  });
}
