import { Injectable } from '@nestjs/common';
import { EntityManager, QueryFailedError, type SelectQueryBuilder } from 'typeorm';
import type { QueryConfig } from 'pg';
import type { BoundPassword } from '../access/credential-binding.js';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import { inOneTrip } from '../database/in-one-trip.js';
import { KNOWS_NO_COMMITMENTS } from '../database/older-replicas.js';
import { likeAnywhere, spellingsOf } from '../common/text.js';
import { User, type UserKind } from './user.entity.js';

/** A user with roles and managers. */
export interface UserWithRoles {
  readonly user: User;
  /** In order of name; inactive roles included, they are still assigned. */
  readonly roles: string[];
  readonly managerIds: string[];
  readonly hasSecondFactor: boolean;
}

/** What a list of users is narrowed by; all of it must hold. */
export interface UserFilter {
  readonly id?: readonly string[] | undefined;
  readonly search?: string | undefined;
  readonly kind?: UserKind | undefined;
  readonly role?: string | undefined;
  readonly isActive?: boolean | undefined;
}

/** What a password is checked by. */
const PASSWORD = ['u.passwordHash', 'u.passwordBinding', 'u.passwordBindingVersion'];

/** Rows of users. Deleted users are not found unless a method says so. */
@Injectable()
export class UsersRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): UsersRepository {
    return new UsersRepository(tx);
  }

  /** A user by id, or null. */
  async findById(id: string): Promise<UserWithRoles | null> {
    const [user, grants] = await Promise.all([
      this.manager.createQueryBuilder(User, 'u').where('u.id = :id AND u.deletedAt IS NULL', { id }).getOne(),
      this.grantsOf([id]),
    ]);
    return user && { user, ...grants.get(id)! };
  }

  /** Users, newest first, after so many, and older than the user of this id where it is given. */
  async findPage(filter: UserFilter, offset: number, size: number, behind?: string): Promise<UserWithRoles[]> {
    const query = this.matching(filter).orderBy('u.id', 'DESC').offset(offset).limit(size);
    if (behind !== undefined) query.andWhere('u.id < :behind', { behind });
    return this.withRoles(await query.getMany());
  }

  /** How many users match, counted up to one more than a list shows. */
  async count(filter: UserFilter): Promise<number> {
    const [sql, parameters] = this.matching(filter)
      .select('1')
      .limit(MAX_COUNTED_ROWS + 1)
      .getQueryAndParameters();
    const [row] = await this.manager.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM (${sql}) AS counted`,
      parameters,
    );
    return row!.count;
  }

  /** The local account behind an e-mail address, with its password hash, or null. */
  async findByEmailWithPassword(email: string): Promise<User | null> {
    return this.manager
      .createQueryBuilder(User, 'u')
      .addSelect(PASSWORD)
      .where('lower(u.email) = lower(:email) AND u.deletedAt IS NULL AND u.oidcIssuer IS NULL', { email })
      .getOne();
  }

  /** A user by id with the password hash and the one before it, or null. */
  async findByIdWithPassword(id: string): Promise<User | null> {
    return this.manager
      .createQueryBuilder(User, 'u')
      .addSelect([...PASSWORD, 'u.previousPasswordHash'])
      .where('u.id = :id AND u.deletedAt IS NULL', { id })
      .getOne();
  }

  /** The user an identity provider calls `subject`, deleted ones included, or null. */
  async findByIdentity(issuer: string, subject: string): Promise<User | null> {
    return this.manager
      .createQueryBuilder(User, 'u')
      .where('u.oidcIssuer = :issuer AND u.oidcSubject = :subject', { issuer, subject })
      .getOne();
  }

  /**
   * Adds a user with roles and managers, in one round trip. @throws QueryFailedError 23505, see {@link isEmailTaken}
   */
  async insert(user: User, roles: readonly string[], managerIds: readonly string[]): Promise<void> {
    const [text, values] = this.manager
      .createQueryBuilder()
      .insert()
      .into(User)
      .values(user)
      .updateEntity(false)
      .getQueryAndParameters();
    await inOneTrip(this.manager, [{ text, values }, ...setRoles(user.id, roles), ...setManagers(user.id, managerIds)]);
  }

  /** Adds the user of an identity; false when there is one already, deleted ones included. Waits for a twin at work. */
  async insertIdentity(user: User): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>(
      `INSERT INTO users (id, email, name, kind, oidc_issuer, oidc_subject, oidc_roles, oidc_issued_at, created_at, updated_at, last_sign_in_at, email_verified)
       VALUES ($1, $2, $3, 'person', $4, $5, $6, $7, $8, $8, $8, $9) ON CONFLICT (oidc_issuer, oidc_subject) DO NOTHING RETURNING 1`,
      [
        user.id,
        user.email,
        user.name,
        user.oidcIssuer,
        user.oidcSubject,
        user.oidcRoles,
        user.oidcIssuedAt,
        user.createdAt,
        user.isEmailVerified,
      ],
    );
    return rows.length > 0;
  }

  /**
   * Writes the fields of a user that can change and, where given, its managers, in one round trip.
   *
   * @throws QueryFailedError 23505, see {@link isEmailTaken}
   */
  async update(
    { id, email, name, isActive, maxActiveKeys, updatedAt }: User,
    managerIds: readonly string[] | null,
  ): Promise<void> {
    const text =
      'UPDATE users SET email_verified = CASE WHEN email = $2 THEN email_verified END, email = $2, name = $3, is_active = $4, max_active_keys = $5, updated_at = $6 WHERE id = $1';
    const values = [id, email, name, isActive, maxActiveKeys, updatedAt];
    await inOneTrip(this.manager, [{ text, values }, ...(managerIds === null ? [] : setManagers(id, managerIds))]);
  }

  /** Replaces a user's roles. */
  async setRoles(id: string, roles: readonly string[]): Promise<void> {
    await inOneTrip(this.manager, setRoles(id, roles));
  }

  /** Writes a person's own new password; false when `current` (a hash) is no longer the stored one. */
  async setPassword(id: string, { hash, binding }: BoundPassword, current: string): Promise<boolean> {
    const [rows] = await this.manager.query<[unknown[], number]>(
      `UPDATE users SET password_hash = $2, password_binding = $4, password_binding_version = $5,
                        password_is_temporary = false, previous_password_hash = NULL, updated_at = now()
        WHERE id = $1 AND deleted_at IS NULL AND password_hash = $3 RETURNING 1`,
      [id, hash, current, binding.mac, binding.version],
    );
    return rows.length > 0;
  }

  /** Writes a password that another person chose. The person's own last one is kept, so that it does not come back. */
  async setTemporaryPassword(id: string, { hash, binding }: BoundPassword): Promise<void> {
    await this.manager.query(
      `UPDATE users SET previous_password_hash = CASE WHEN password_is_temporary THEN previous_password_hash ELSE password_hash END,
                        password_hash = $2, password_binding = $3, password_binding_version = $4, password_is_temporary = true,
                        updated_at = now()
        WHERE id = $1 AND deleted_at IS NULL`,
      [id, hash, binding.mac, binding.version],
    );
  }

  /**
   * Notes a sign-in, unless password or state changed since `passwordHash` was read; not a change of the user, so
   * `updatedAt` stays. Locks the row, so that a new password waits and then ends the session that is being opened.
   */
  async noteSignIn(id: string, passwordHash: string | null): Promise<boolean> {
    const [rows] = await this.manager.query<[unknown[], number]>(
      `UPDATE users SET last_sign_in_at = now()
        WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2 AND is_active AND deleted_at IS NULL RETURNING 1`,
      [id, passwordHash],
    );
    return rows.length > 0;
  }

  /**
   * Of users and instants, the indexes of those where the user has signed in since. A process knows the clock of the
   * database to a second.
   */
  async findSignedInSince(asked: readonly { readonly userId: string; readonly at: Date }[]): Promise<Set<number>> {
    const rows = await this.manager.query<{ index: number }[]>(
      `SELECT a.index::int - 1 AS index FROM unnest($1::uuid[], $2::timestamptz[]) WITH ORDINALITY AS a (id, at, index)
         JOIN users u USING (id) WHERE u.last_sign_in_at > a.at - interval '1 second'`,
      [asked.map(({ userId }) => userId), asked.map(({ at }) => at)],
    );
    return new Set(rows.map(({ index }) => index));
  }

  /**
   * Notes the newest token of an identity, and the roles its claim gave. The address is not replaced by the token's;
   * what the token says of another address is not said of this one.
   */
  async noteIdentity(
    id: string,
    token: { issuedAt: number; email: string | null; isEmailVerified: boolean },
    claimRoles: readonly string[],
  ): Promise<void> {
    await this.manager.query(
      `UPDATE users SET last_sign_in_at = now(), oidc_issued_at = $2, oidc_roles = $3,
              email_verified = coalesce(lower(email) = lower($4), false) AND $5 WHERE id = $1`,
      [id, token.issuedAt, claimRoles, token.email, token.isEmailVerified],
    );
  }

  /** Which of `roles` exist, locked until commit so that they still do then; in order of name. */
  async existingRoles(roles: readonly string[]): Promise<string[]> {
    const rows = await this.manager.query<{ name: string }[]>(
      'SELECT name FROM role WHERE name = ANY($1) ORDER BY name FOR SHARE',
      [roles],
    );
    return rows.map((row) => row.name);
  }

  /** Service accounts this person manages. */
  async findManagedBy(managerId: string): Promise<UserWithRoles[]> {
    const users = await this.manager
      .createQueryBuilder(User, 'u')
      .where('u.id IN (SELECT user_id FROM user_manager WHERE manager_id = :managerId)', { managerId })
      .orderBy('u.id')
      .getMany();
    return this.withRoles(users);
  }

  /** Deletes a user: the row stays for history, the address is free, and nothing refers to the user any more. */
  async delete(id: string, now: Date): Promise<void> {
    await inOneTrip(this.manager, [
      { text: 'DELETE FROM user_role WHERE user_id = $1', values: [id] },
      { text: 'DELETE FROM second_factor WHERE user_id = $1', values: [id] },
      { text: 'DELETE FROM user_manager WHERE user_id = $1 OR manager_id = $1', values: [id] },
      { text: 'DELETE FROM project_member WHERE user_id = $1', values: [id] },
      {
        text: `UPDATE users SET deleted_at = $2, updated_at = $2, is_active = false, password_hash = NULL, password_binding = NULL,
                                password_binding_version = NULL, previous_password_hash = NULL WHERE id = $1`,
        values: [id, now],
      },
    ]);
  }

  /** A user who is not erased, a deleted one too; null: there is none. */
  async findErasable(id: string): Promise<User | null> {
    return this.manager.createQueryBuilder(User, 'u').where('u.id = :id AND u.erasedAt IS NULL', { id }).getOne();
  }

  /** Whether replicas of an earlier release run, for which entries of the trail have personal values in plain text. */
  async mustBeNamedInTrail(): Promise<boolean> {
    const [row] = await this.manager.query<{ is: boolean }[]>(`SELECT ${KNOWS_NO_COMMITMENTS} AS is`);
    return row!.is;
  }

  /** The roles that a deleted user had at last, as the trail says; null: it does not say. */
  async findRolesAtDeletion(id: string): Promise<string[] | null> {
    const [found] = await this.manager.query<{ roles: string[] }[]>(
      `SELECT c->'before' AS roles FROM audit_event e, jsonb_array_elements(e.changes) AS c
        WHERE e.resource_type = 'user' AND e.resource_id = $1 AND e.action = 'users:delete' AND e.outcome = 'success'
          AND c->>'field' = 'roles' ORDER BY e.seq DESC LIMIT 1`,
      [id],
    );
    return found?.roles ?? null;
  }

  /** Removes who a deleted user was; false when there is none to erase. */
  async erase(id: string, name: string): Promise<boolean> {
    const [locked] = await this.manager.query<unknown[]>(
      'SELECT 1 FROM users WHERE id = $1 AND deleted_at IS NOT NULL AND erased_at IS NULL FOR UPDATE',
      [id],
    );
    if (locked === undefined) return false;
    await this.manager.query('SELECT user_erase($1, $2)', [id, name]);
    return true;
  }

  /** People who can sign in, by password or through the configured provider, and are admins. */
  async countActiveAdmins(issuer: string | null): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM users u JOIN user_role ur ON ur.user_id = u.id AND ur.role_name = 'admin'
        WHERE u.kind = 'person' AND u.is_active AND u.deleted_at IS NULL AND (u.password_hash IS NOT NULL OR u.oidc_issuer = $1)`,
      [issuer],
    );
    return row!.count;
  }

  private matching(filter: UserFilter): SelectQueryBuilder<User> {
    const query = this.manager.createQueryBuilder(User, 'u').where('u.deletedAt IS NULL');
    if (filter.id !== undefined) query.andWhere('u.id = ANY(:ids)', { ids: filter.id });
    if (filter.kind !== undefined) query.andWhere('u.kind = :kind', { kind: filter.kind });
    if (filter.isActive !== undefined) query.andWhere('u.isActive = :isActive', { isActive: filter.isActive });
    if (filter.role !== undefined)
      query.andWhere('u.id IN (SELECT user_id FROM user_role WHERE role_name = :role)', { role: filter.role });
    if (filter.search !== undefined)
      query.andWhere(
        '(u.name ILIKE ANY (CAST(:spellings AS text[])) OR u.email ILIKE ANY (CAST(:spellings AS text[])))',
        {
          spellings: spellingsOf(filter.search.trim()).map(likeAnywhere),
        },
      );
    return query;
  }

  private async withRoles(users: readonly User[]): Promise<UserWithRoles[]> {
    const grants = await this.grantsOf(users.map((user) => user.id));
    return users.map((user) => ({ user, ...grants.get(user.id)! }));
  }

  /** Roles and managers by user, in one statement for any number of users. */
  private async grantsOf(ids: readonly string[]): Promise<Map<string, Omit<UserWithRoles, 'user'>>> {
    if (ids.length === 0) return new Map();
    const rows = await this.manager.query<
      { id: string; roles: string[]; manager_ids: string[]; has_second_factor: boolean }[]
    >(
      `SELECT id, ARRAY(SELECT role_name FROM user_role WHERE user_id = id ORDER BY 1) AS roles,
              ARRAY(SELECT manager_id FROM user_manager WHERE user_id = id ORDER BY 1) AS manager_ids,
              EXISTS (SELECT FROM second_factor f WHERE f.user_id = id.id AND f.confirmed_at IS NOT NULL) AS has_second_factor
         FROM unnest($1::uuid[]) AS id`,
      [ids],
    );
    return new Map(
      rows.map((row) => [
        row.id,
        { roles: row.roles, managerIds: row.manager_ids, hasSecondFactor: row.has_second_factor },
      ]),
    );
  }
}

function setRoles(id: string, roles: readonly string[]): QueryConfig[] {
  return [
    { text: 'DELETE FROM user_role WHERE user_id = $1 AND role_name <> ALL($2)', values: [id, roles] },
    {
      text: 'INSERT INTO user_role (user_id, role_name) SELECT $1, name FROM unnest($2::text[]) AS name ORDER BY name ON CONFLICT DO NOTHING',
      values: [id, roles],
    },
  ];
}

function setManagers(id: string, managerIds: readonly string[]): QueryConfig[] {
  return [
    { text: 'DELETE FROM user_manager WHERE user_id = $1 AND manager_id <> ALL($2)', values: [id, managerIds] },
    {
      text: 'INSERT INTO user_manager (user_id, manager_id) SELECT $1, id FROM unnest($2::uuid[]) AS id ORDER BY id ON CONFLICT DO NOTHING',
      values: [id, managerIds],
    },
  ];
}

/** Whether a statement failed because another local account has the e-mail address. */
export function isEmailTaken(error: unknown): boolean {
  return (
    error instanceof QueryFailedError && (error.driverError as { constraint?: string }).constraint === 'users_email_key'
  );
}
