import { Injectable } from '@nestjs/common';
import { EntityManager, type SelectQueryBuilder } from 'typeorm';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import { inOneTrip } from '../database/in-one-trip.js';
import { likeAnywhere, spellingsOf } from '../common/text.js';
import { Project } from './project.entity.js';
import type { ProjectRole } from './project-role.js';
import type { FoundProject, LockedProject, ProjectMember } from './project.view.js';

type MemberRow = ProjectMember & { readonly projectId: string };

/** Which projects of a list. */
export interface ProjectFilter {
  readonly ids?: readonly string[] | undefined;
  /** Those of one member; null: all. */
  readonly memberId: string | null;
  /** Part of the name. */
  readonly search?: string | undefined;
}

/** Rows of projects and their members. */
@Injectable()
export class ProjectsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): ProjectsRepository {
    return new ProjectsRepository(tx);
  }

  /** A project by id, or null. */
  async findById(id: string): Promise<FoundProject | null> {
    return this.counted(await this.findOne((query) => query.where('p.id = :id', { id })));
  }

  /** A project by alias, or null. */
  async findByAlias(alias: string): Promise<FoundProject | null> {
    return this.counted(await this.findOne((query) => query.where('p.alias = :alias', { alias })));
  }

  /**
   * The project, locked against changes, of its members too; or null. Keys come and go meanwhile: who makes one holds
   * its own membership already, and would be waited for by who holds the project.
   */
  async findForUpdate(id: string): Promise<LockedProject | null> {
    return this.findOne((query) => query.where('p.id = :id', { id }).setLock('for_no_key_update'));
  }

  /** As `findForUpdate`, by alias. */
  async findByAliasForUpdate(alias: string): Promise<LockedProject | null> {
    return this.findOne((query) => query.where('p.alias = :alias', { alias }).setLock('for_no_key_update'));
  }

  /** As `findForUpdate`, and locked against keys that are about to get it. */
  async findForDeletion(id: string): Promise<LockedProject | null> {
    return this.findOne((query) => query.where('p.id = :id', { id }).setLock('pessimistic_write'));
  }

  /** Whether there is such a project. It is not deleted until the transaction ends. */
  async keep(id: string): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>('SELECT FROM project WHERE id = $1 FOR KEY SHARE', [id]);
    return rows.length > 0;
  }

  /** What a user is in a project; null: no member. */
  async findRole(id: string, userId: string): Promise<ProjectRole | null> {
    const [row] = await this.manager.query<{ role: ProjectRole }[]>(
      'SELECT role FROM project_member WHERE project_id = $1 AND user_id = $2',
      [id, userId],
    );
    return row?.role ?? null;
  }

  /** What a user is in which projects. None of it ends until the transaction does. */
  async lockRoles(userId: string): Promise<Map<string, ProjectRole>> {
    const [rows] = (await inOneTrip(this.manager, [
      {
        name: 'hold-memberships',
        text: 'SELECT project_id, role FROM project_member WHERE user_id = $1 ORDER BY project_id FOR SHARE',
        values: [userId],
      },
    ])) as [{ project_id: string; role: ProjectRole }[]];
    return new Map(rows.map((row) => [row.project_id, row.role]));
  }

  /** The projects of a user, by their ids; nothing is locked. */
  async findProjectsOf(userId: string): Promise<string[]> {
    const rows = await this.manager.query<{ project_id: string }[]>(
      'SELECT project_id FROM project_member WHERE user_id = $1 ORDER BY project_id',
      [userId],
    );
    return rows.map((row) => row.project_id);
  }

  /** Projects that a user is a member of, in order of name. */
  async findMemberships(userId: string): Promise<{ id: string; name: string; role: ProjectRole }[]> {
    return this.manager.query(
      `SELECT p.id, p.name, m.role FROM project_member m JOIN project p ON p.id = m.project_id
        WHERE m.user_id = $1 ORDER BY lower(p.name)`,
      [userId],
    );
  }

  /** Projects in order of name, after so many, and behind this name where it is given. */
  async findPage(
    offset: number,
    size: number,
    { behind, ...filter }: ProjectFilter & { readonly behind?: string | undefined },
  ): Promise<FoundProject[]> {
    const query = this.matching(filter).orderBy('lower(p.name)').offset(offset).limit(size);
    if (behind !== undefined) query.andWhere('lower(p.name) > lower(:behind)', { behind });
    return this.withCounts(await this.withMembers(await query.getMany()));
  }

  /** How many projects there are, counted up to one more than a list shows. */
  async count(filter: ProjectFilter): Promise<number> {
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

  /** Keys in a project that are not revoked. */
  async countKeys(id: string): Promise<number> {
    return (await this.keyCounts([id])).get(id) ?? 0;
  }

  /** Keys in the project of an alias that are not revoked; none where there is no such project. */
  async countKeysOfAlias(alias: string): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM api_key
        WHERE project_id = (SELECT id FROM project WHERE alias = $1) AND revoked_at IS NULL`,
      [alias],
    );
    return row!.count;
  }

  /** Keys of one owner in a project that are not revoked. */
  async countKeysOf(id: string, ownerId: string): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM api_key WHERE project_id = $1 AND owner_id = $2 AND revoked_at IS NULL',
      [id, ownerId],
    );
    return row!.count;
  }

  /**
   * Adds a project. @throws QueryFailedError 23505 on `project_name_key` or `project_alias_key` when the name or alias
   * is taken.
   */
  async insert(project: Project): Promise<void> {
    await this.manager.createQueryBuilder().insert().into(Project).values(project).updateEntity(false).execute();
  }

  /** Writes every field of a project that can change. @throws as `insert` */
  async update({ id, name, alias, description, isActive, updatedAt }: Project): Promise<void> {
    await this.manager
      .createQueryBuilder()
      .update(Project)
      .set({ name, alias, description, isActive, updatedAt })
      .where('id = :id', { id })
      .execute();
  }

  /** Makes a user a member, or a member something else. */
  async setMember(id: string, userId: string, role: ProjectRole, now: Date): Promise<void> {
    await this.manager.query(
      `INSERT INTO project_member (project_id, user_id, role, added_at) VALUES ($1, $2, $3, $4)
       ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role`,
      [id, userId, role, now],
    );
  }

  /** Removes a member. */
  async removeMember(id: string, userId: string): Promise<void> {
    await this.manager.query('DELETE FROM project_member WHERE project_id = $1 AND user_id = $2', [id, userId]);
  }

  /** Removes a project in which no key is left that works. */
  async delete(id: string): Promise<void> {
    await this.manager.query('DELETE FROM project WHERE id = $1', [id]);
  }

  private matching({ ids, memberId, search }: ProjectFilter): SelectQueryBuilder<Project> {
    const query = this.manager.createQueryBuilder(Project, 'p');
    if (ids !== undefined) query.andWhere('p.id = ANY(:ids)', { ids });
    if (memberId !== null)
      query.andWhere('p.id IN (SELECT project_id FROM project_member WHERE user_id = :memberId)', { memberId });
    if (search !== undefined)
      query.andWhere('p.name ILIKE ANY (CAST(:spellings AS text[]))', {
        spellings: spellingsOf(search).map(likeAnywhere),
      });
    return query;
  }

  private async findOne(
    narrow: (query: SelectQueryBuilder<Project>) => SelectQueryBuilder<Project>,
  ): Promise<LockedProject | null> {
    const project = await narrow(this.manager.createQueryBuilder(Project, 'p')).getOne();
    return project === null ? null : (await this.withMembers([project]))[0]!;
  }

  private async withMembers(projects: readonly Project[]): Promise<LockedProject[]> {
    if (projects.length === 0) return [];
    const members = await this.manager.query<MemberRow[]>(
      `SELECT m.project_id AS "projectId", m.user_id AS "userId", u.name, m.role, m.added_at AS "addedAt"
         FROM project_member m JOIN users u ON u.id = m.user_id
        WHERE m.project_id = ANY($1::uuid[]) ORDER BY lower(u.name), m.user_id`,
      [projects.map(({ id }) => id)],
    );
    return projects.map((project) => ({
      project,
      members: members.filter(({ projectId }) => projectId === project.id),
    }));
  }

  private async counted(found: LockedProject | null): Promise<FoundProject | null> {
    return found === null ? null : { ...found, keys: await this.countKeys(found.project.id) };
  }

  private async withCounts(projects: readonly LockedProject[]): Promise<FoundProject[]> {
    if (projects.length === 0) return [];
    const counts = await this.keyCounts(projects.map(({ project }) => project.id));
    return projects.map((found) => ({ ...found, keys: counts.get(found.project.id) ?? 0 }));
  }

  private async keyCounts(ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const rows = await this.manager.query<{ id: string; count: number }[]>(
      `SELECT project_id AS id, count(*)::int AS count FROM api_key
        WHERE project_id = ANY($1::uuid[]) AND revoked_at IS NULL GROUP BY project_id`,
      [ids],
    );
    return new Map(rows.map(({ id, count }) => [id, count]));
  }
}
