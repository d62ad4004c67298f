import { randomBytes } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import { systemCaller } from '../access/caller.js';
import type { KeyPolicy } from '../access/key-policy.js';
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

/** A role of a new installation. */
export interface SeededRole {
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly string[];
  readonly keyPolicy: KeyPolicy | null;
}

/** Tags that a service behind a gateway takes for what an administrator says of a key. */
export const RESERVED_TAG_PREFIXES = ['plan:', 'role:'] as const;

const RESERVED = { reservedTagPrefixes: RESERVED_TAG_PREFIXES } as const;

/** What people make for themselves, until an administrator states other bounds. */
const BOUNDED = {
  maxRateLimitPerMinute: 600,
  maxBudgetLimitCents: 10_000,
  budgetType: 'monthly',
  maxValidityDays: 365,
  defaults: { validityDays: 90 },
} as const;

/** The roles every installation starts with; all but `admin` may be edited. */
export const SEEDED_ROLES: readonly SeededRole[] = [
  { name: 'admin', description: 'May do everything.', permissions: ['*'], keyPolicy: null },
  {
    name: 'creator',
    description: 'May create keys of their own.',
    permissions: ['platform:api-keys:create'],
    keyPolicy: { ...BOUNDED, ...RESERVED },
  },
  { name: 'user', description: 'May use and watch the keys they were given.', permissions: [], keyPolicy: RESERVED },
  {
    name: 'auditor',
    description: 'May read everything and export the audit trail.',
    permissions: ['platform:*:read', 'platform:audit:export'],
    keyPolicy: RESERVED,
  },
  {
    name: 'gateway',
    description: 'A service that verifies keys and reports their usage.',
    permissions: ['platform:api-keys:verify', 'platform:usage:report'],
    keyPolicy: RESERVED,
  },
];

/** The first admin of an installation; `password` only when it was generated just now. */
export interface FirstAdmin {
  readonly email: string;
  readonly password: string | null;
  /** Whether the password must be changed at the first sign-in. */
  readonly isPasswordTemporary: boolean;
}

/** Who becomes the first admin. A password that is null is generated; it is known to nobody else, so it may stay. */
export interface AdminToSeed {
  readonly email: string;
  readonly password: string | null;
  /** A given password lies where it was given from, and others may have read it. */
  readonly isPasswordTemporary?: boolean;
}

/**
 * Adds the seeded roles where there is none and, where no user ever existed, the first admin; both are in the audit
 * trail, done by the server itself. Replicas may call it at once: one creates the admin and learns the password.
 */
export async function seed(
  changes: Changes,
  admin: AdminToSeed,
  { peppers }: Pick<Config, 'peppers'>,
  roles: readonly SeededRole[] = SEEDED_ROLES,
): Promise<FirstAdmin | null> {
  const password = admin.password ?? generatedPassword();
  // Hashing takes its time; no lock waits for it.
  const passwordHash = await hashPassword(password);
  return changeAlone(changes, systemCaller('users:create'), ADVISORY_LOCKS.seed, async (change) => {
    const { tx } = change;
    if (!(await anyIn(tx, 'role'))) await seedRoles(change, roles);
    if (await anyIn(tx, 'users')) return null;
    const isTemporary = admin.password !== null && (admin.isPasswordTemporary ?? false);
    await insertAdmin(change, admin.email, passwordHash, peppers, isTemporary);
    // Nothing is in this database that the release before has stored.
    change.record({ action: BIND_ACTION, resourceType: 'system', resourceId: null });
    return {
      email: admin.email,
      password: admin.password === null ? password : null,
      isPasswordTemporary: isTemporary,
    };
  });
}

/** 144 random bits, as text to be copied from a terminal. */
export function generatedPassword(): string {
  return randomBytes(18).toString('base64url');
}

/** Adds a local admin. */
export async function insertAdmin(
  { tx, record }: Change,
  email: string,
  passwordHash: string,
  peppers: Config['peppers'],
  isPasswordTemporary: boolean,
): Promise<string> {
  const id = uuidv7();
  const { binding } = bindPassword(peppers, id, passwordHash);
  await tx.query(
    `INSERT INTO users (id, email, name, kind, password_hash, password_binding, password_binding_version, password_is_temporary)
     VALUES ($1, $2, 'Administrator', 'person', $3, $4, $5, $6)`,
    [id, email, passwordHash, binding.mac, binding.version, isPasswordTemporary],
  );
  await tx.query(`INSERT INTO user_role (user_id, role_name) VALUES ($1, 'admin')`, [id]);
  const created = await new UsersRepository(tx).findById(id);
  record({ action: 'users:create', resourceType: 'user', resourceId: id, changes: diff(null, auditedUser(created!)) });
  return id;
}

async function seedRoles({ tx, record }: Change, roles: readonly SeededRole[]): Promise<void> {
  for (const { name, description, permissions, keyPolicy } of roles) {
    const values = [name, description, permissions, keyPolicy];
    await tx.query(
      'INSERT INTO role (name, description, permissions, key_policy, is_seeded) VALUES ($1, $2, $3, $4, true)',
      values,
    );
    const after = { description, permissions, keyPolicy, isActive: true };
    record({ action: 'roles:create', resourceType: 'role', resourceId: name, changes: diff(null, after) });
  }
}

async function anyIn(tx: EntityManager, table: 'role' | 'users'): Promise<boolean> {
  return (await tx.query<unknown[]>(`SELECT 1 FROM ${table} LIMIT 1`)).length > 0;
}
