import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { User } from './user.entity.js';

/** A user with what hangs on him. */
export interface UserWithRoles {
  readonly user: User;
  /** In order of name; inactive roles included, they are still assigned. */
  readonly roles: string[];
  readonly managerIds: string[];
}

/** Rows of users. Deleted users are not found. */
@Injectable()
export class UsersRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): UsersRepository {
    return new UsersRepository(tx);
  }

  /** A user by id, or null. */
  async findById(id: string): Promise<UserWithRoles | null> {
    const user = await this.manager.createQueryBuilder(User, 'u').where('u.id = :id AND u.deletedAt IS NULL', { id }).getOne();
    return user && (await this.withRoles(user));
  }

  /** The local account behind an e-mail address, with its password hash, or null. */
  async findByEmailWithPassword(email: string): Promise<User | null> {
    return this.manager
      .createQueryBuilder(User, 'u')
      .addSelect('u.passwordHash')
      .where('lower(u.email) = lower(:email) AND u.deletedAt IS NULL AND u.oidcIssuer IS NULL', { email })
      .getOne();
  }

  /** Notes a sign-in; not a change of the user, so `updatedAt` stays. */
  async touchSignIn(id: string): Promise<void> {
    await this.manager.query('UPDATE users SET last_sign_in_at = now() WHERE id = $1', [id]);
  }

  private async withRoles(user: User): Promise<UserWithRoles> {
    const [row] = await this.manager.query<{ roles: string[]; manager_ids: string[] }[]>(
      `SELECT ARRAY(SELECT role_name FROM user_role WHERE user_id = $1 ORDER BY 1) AS roles,
              ARRAY(SELECT manager_id FROM user_manager WHERE user_id = $1 ORDER BY 1) AS manager_ids`,
      [user.id],
    );
    return { user, roles: row!.roles, managerIds: row!.manager_ids };
  }
}
