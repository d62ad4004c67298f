import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import type { KeyPolicy } from '../access/key-policy.js';
import { Role } from './role.entity.js';

/** Rows of roles. */
@Injectable()
export class RolesRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): RolesRepository {
    return new RolesRepository(tx);
  }

  /** A role by name, or null. */
  async findByName(name: string): Promise<Role | null> {
    return this.manager.createQueryBuilder(Role, 'r').where('r.name = :name', { name }).getOne();
  }

  /**
   * The role, locked against every reader that relies on it (assignments and new keys lock it `FOR SHARE`), or null.
   */
  async findForUpdate(name: string): Promise<Role | null> {
    return this.manager
      .createQueryBuilder(Role, 'r')
      .where('r.name = :name', { name })
      .setLock('pessimistic_write')
      .getOne();
  }

  /** Roles in order of name, after so many, and behind this name where it is given. */
  async findPage(offset: number, size: number, behind?: string): Promise<Role[]> {
    const query = this.manager.createQueryBuilder(Role, 'r').orderBy('r.name').offset(offset).limit(size);
    return (behind === undefined ? query : query.where('r.name > :behind', { behind })).getMany();
  }

  /** How many roles there are, counted up to one more than a list shows. */
  async count(): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM (SELECT 1 FROM role LIMIT $1) AS counted',
      [MAX_COUNTED_ROWS + 1],
    );
    return row!.count;
  }

  /** Adds a role. @throws QueryFailedError 23505 on `role_pkey` when the name is taken. */
  async insert(role: Role): Promise<void> {
    await this.manager.createQueryBuilder().insert().into(Role).values(role).updateEntity(false).execute();
  }

  /** Writes every field of a role that can change. */
  async update(role: Role): Promise<void> {
    const { description, permissions, keyPolicy, isActive, updatedAt } = role;
    await this.manager
      .createQueryBuilder()
      .update(Role)
      .set({ description, permissions, keyPolicy, isActive, updatedAt })
      .where('name = :name', { name: role.name })
      .execute();
  }

  /** Removes a role that nobody carries. */
  async delete(name: string): Promise<void> {
    await this.manager.query('DELETE FROM role WHERE name = $1', [name]);
  }

  /** What the other active roles of users with this role state, each combination once. */
  async findPoliciesBeside(name: string): Promise<KeyPolicy[][]> {
    const rows = await this.manager.query<{ policies: KeyPolicy[] }[]>(
      `SELECT DISTINCT (SELECT coalesce(jsonb_agg(r.key_policy ORDER BY r.name), '[]') FROM user_role o JOIN role r ON r.name = o.role_name
                         WHERE o.user_id = u.user_id AND r.name <> $1 AND r.is_active AND r.key_policy IS NOT NULL) AS policies
         FROM user_role u WHERE u.role_name = $1`,
      [name],
    );
    return rows.map(({ policies }) => policies);
  }

  /** Who carries a role: users, and keys that are not revoked. */
  async countHolders(name: string): Promise<{ users: number; keys: number }> {
    const [row] = await this.manager.query<{ users: number; keys: number }[]>(
      `SELECT (SELECT count(*)::int FROM user_role WHERE role_name = $1) AS users,
              (SELECT count(*)::int FROM api_key WHERE roles @> ARRAY[$1::text] AND roles <> '{}' AND revoked_at IS NULL) AS keys`,
      [name],
    );
    return row!;
  }
}
