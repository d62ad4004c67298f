import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { ProjectRole } from '../projects/project-role.js';
import { BINDS_KEY } from './account-sql.js';

/** As much of a key as the limits that bind it depend on. */
export interface BoundKey {
  readonly id: string;
  readonly ownerId: string;
  readonly projectId: string | null;
}

/** A limit and the member of it whose account is meant; null: all calls share one. */
export type LimitPair = readonly [limitId: string, memberId: string | null];

/** As many limits of an owner as one answer shows: an owner may have keys in very many projects. */
export const MOST_OF_OWNER = 100;

/** Which limits bind whose calls, and who may know their numbers. */
@Injectable()
export class BoundLimitsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** A key by id, or null. */
  async findKey(id: string): Promise<BoundKey | null> {
    const [row] = await this.manager.query<{ owner_id: string; project_id: string | null }[]>(
      'SELECT owner_id, project_id FROM api_key WHERE id = $1',
      [id],
    );
    return row === undefined ? null : { id, ownerId: row.owner_id, projectId: row.project_id };
  }

  /** The limits that bind a key, of whatever models, and its account in each. */
  ofKey(keyId: string): Promise<LimitPair[]> {
    return this.pairs(
      `SELECT l.id, CASE l.each WHEN 'key' THEN k.id WHEN 'owner' THEN k.owner_id END AS member_id
         FROM api_key k JOIN quota_limit l ON ${BINDS_KEY} WHERE k.id = $1 AND l.ended_at IS NULL`,
      keyId,
    );
  }

  /**
   * The limits on an owner, and the owner's accounts in those of the installation and of projects in which the owner
   * has keys that are not revoked: one more than an answer shows, where there are more. A limit with an account for
   * each key is given without a member.
   */
  ofOwner(ownerId: string): Promise<LimitPair[]> {
    return this.pairs(
      `SELECT l.id, CASE l.each WHEN 'owner' THEN $1::uuid END AS member_id FROM quota_limit l
        WHERE l.ended_at IS NULL AND (l.target_kind = 'owner' AND l.target_id = $1
           OR l.each = 'owner' AND (l.target_kind = 'installation' OR l.target_id IN (
             SELECT k.project_id FROM api_key k WHERE k.owner_id = $1 AND k.revoked_at IS NULL)))
        ORDER BY l.target_kind = 'project', l.id LIMIT ${MOST_OF_OWNER + 1}`,
      ownerId,
    );
  }

  /** The limits on a project; those with members are given without one. */
  ofProject(projectId: string): Promise<LimitPair[]> {
    return this.pairs(
      `SELECT l.id, NULL::uuid AS member_id FROM quota_limit l
        WHERE l.ended_at IS NULL AND l.target_kind = 'project' AND l.target_id = $1`,
      projectId,
    );
  }

  /** Service accounts that a user manages. */
  async managedBy(userId: string): Promise<string[]> {
    const rows = await this.manager.query<{ user_id: string }[]>(
      'SELECT user_id FROM user_manager WHERE manager_id = $1',
      [userId],
    );
    return rows.map((row) => row.user_id);
  }

  /** What a user is in which projects, by their ids. */
  async rolesOf(userId: string): Promise<ReadonlyMap<string, ProjectRole>> {
    const rows = await this.manager.query<{ project_id: string; role: ProjectRole }[]>(
      'SELECT project_id, role FROM project_member WHERE user_id = $1',
      [userId],
    );
    return new Map(rows.map((row) => [row.project_id, row.role]));
  }

  /** Whether there is such a user, not deleted, or such a project. */
  async exists(kind: 'owner' | 'project', id: string): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>(
      kind === 'project'
        ? 'SELECT FROM project WHERE id = $1'
        : 'SELECT FROM users WHERE id = $1 AND deleted_at IS NULL',
      [id],
    );
    return rows.length > 0;
  }

  private async pairs(sql: string, id: string): Promise<LimitPair[]> {
    const rows = await this.manager.query<{ id: string; member_id: string | null }[]>(sql, [id]);
    return rows.map((row) => [row.id, row.member_id]);
  }
}
