import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import type { CountedProject } from './project.view.js';
import { Project } from './project.entity.js';

/** Rows of projects. */
@Injectable()
export class ProjectsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): ProjectsRepository {
    return new ProjectsRepository(tx);
  }

  /** A project by id, or null. */
  async findById(id: string): Promise<CountedProject | null> {
    const project = await this.manager.createQueryBuilder(Project, 'p').where('p.id = :id', { id }).getOne();
    return project === null ? null : { project, keys: await this.countKeys(id) };
  }

  /** The project, locked against changes and against keys that are about to get it, or null. */
  async findForUpdate(id: string): Promise<Project | null> {
    return this.manager
      .createQueryBuilder(Project, 'p')
      .where('p.id = :id', { id })
      .setLock('pessimistic_write')
      .getOne();
  }

  /** Whether there is such a project. It is not deleted until the transaction ends. */
  async keep(id: string): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>('SELECT FROM project WHERE id = $1 FOR KEY SHARE', [id]);
    return rows.length > 0;
  }

  /** Projects in order of name, after so many, and behind this name where it is given. */
  async findPage(offset: number, size: number, behind?: string): Promise<CountedProject[]> {
    const query = this.manager.createQueryBuilder(Project, 'p').orderBy('lower(p.name)').offset(offset).limit(size);
    const page = await (
      behind === undefined ? query : query.where('lower(p.name) > lower(:behind)', { behind })
    ).getMany();
    const counts = await this.manager.query<{ id: string; count: number }[]>(
      `SELECT project_id AS id, count(*)::int AS count FROM api_key
        WHERE project_id = ANY($1::uuid[]) AND revoked_at IS NULL GROUP BY project_id`,
      [page.map(({ id }) => id)],
    );
    const keysOf = new Map(counts.map(({ id, count }) => [id, count]));
    return page.map((project) => ({ project, keys: keysOf.get(project.id) ?? 0 }));
  }

  /** How many projects there are, counted up to one more than a list shows. */
  async count(): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM (SELECT 1 FROM project LIMIT $1) AS counted',
      [MAX_COUNTED_ROWS + 1],
    );
    return row!.count;
  }

  /** Keys in a project that are not revoked. */
  async countKeys(id: string): Promise<number> {
    const [row] = await this.manager.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM api_key WHERE project_id = $1 AND revoked_at IS NULL',
      [id],
    );
    return row!.count;
  }

  /** Adds a project. @throws QueryFailedError 23505 on `project_name_key` when the name is taken. */
  async insert(project: Project): Promise<void> {
    await this.manager.createQueryBuilder().insert().into(Project).values(project).updateEntity(false).execute();
  }

  /** Writes every field of a project that can change. @throws as `insert` */
  async update({ id, name, description, updatedAt }: Project): Promise<void> {
    await this.manager
      .createQueryBuilder()
      .update(Project)
      .set({ name, description, updatedAt })
      .where('id = :id', { id })
      .execute();
  }

  /** Removes a project in which no key is left that works. */
  async delete(id: string): Promise<void> {
    await this.manager.query('DELETE FROM project WHERE id = $1', [id]);
  }
}
