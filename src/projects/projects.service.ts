import { Injectable } from '@nestjs/common';
import { type EntityManager, QueryFailedError } from 'typeorm';
import type { KnownCaller } from '../access/caller.js';
import { type Change, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { ListCursors } from '../common/list-cursors.js';
import { type PageQueryDto, pageMeta, pageOf } from '../common/page-query.dto.js';
import { uuidv7 } from '../common/uuid.js';
import { requireVersion } from '../common/version.js';
import { auditedProject } from './audited-project.js';
import type { CreateProjectDto, UpdateProjectDto } from './project.dto.js';
import { Project } from './project.entity.js';
import { projectInUse, projectNameTaken, projectNotFound, unknownProject } from './project.errors.js';
import { ProjectView, type ProjectsPageView } from './project.view.js';
import { ProjectsRepository } from './projects.repository.js';

/** What a cursor of the list of projects belongs to. */
const LIST = { list: 'projects' };

/** Projects: which there are. Which keys are in one is said by the keys. */
@Injectable()
export class ProjectsService {
  constructor(
    private readonly projects: ProjectsRepository,
    private readonly changes: Changes,
    private readonly clock: Clock,
    private readonly cursors: ListCursors,
  ) {}

  /** A page of projects in order of name. */
  async list(query: PageQueryDto): Promise<ProjectsPageView> {
    const start = pageOf(query);
    const { size, offset, cursor } = start;
    const [behind] = cursor === null ? [] : this.cursors.read(LIST, cursor);
    const [found, count] = await Promise.all([this.projects.findPage(offset, size + 1, behind), this.projects.count()]);
    const data = found.slice(0, size).map((project) => ProjectView.from(project));
    const next = found.length > size ? [data.at(-1)!.name] : null;
    return { data, meta: pageMeta(start, count, this.cursors.give(LIST, next)) };
  }

  /** @throws DomainError 404 */
  async get(id: string): Promise<ProjectView> {
    const found = await this.projects.findById(id);
    if (!found) throw projectNotFound();
    return ProjectView.from(found);
  }

  /** @throws DomainError 409 PROJECT_NAME_TAKEN */
  create(caller: KnownCaller, input: CreateProjectDto): Promise<ProjectView> {
    return this.named(caller, async ({ tx, record, write }) => {
      const now = this.clock.now();
      const project = Object.assign(new Project(), {
        id: uuidv7(now.getTime()),
        name: input.name.trim(),
        description: input.description ?? '',
        createdAt: now,
        updatedAt: now,
      });
      write(this.projects.in(tx).insert(project));
      record({ resourceType: 'project', resourceId: project.id, changes: diff(null, auditedProject(project)) });
      return ProjectView.from({ project, keys: 0 });
    });
  }

  /** @throws DomainError 404; 409 PROJECT_NAME_TAKEN; 412 VERSION_MISMATCH */
  update(caller: KnownCaller, id: string, input: UpdateProjectDto): Promise<ProjectView> {
    return this.named(caller, async ({ tx, record, write }) => {
      const before = await this.lock(tx, caller, id);
      const keys = await this.projects.in(tx).countKeys(id);
      const after = Object.assign(new Project(), before, {
        name: input.name?.trim() ?? before.name,
        description: input.description ?? before.description,
        updatedAt: this.clock.now(),
      });
      const changes = diff(auditedProject(before), auditedProject(after));
      if (changes.length === 0) return ProjectView.from({ project: before, keys });
      write(this.projects.in(tx).update(after));
      record({ resourceType: 'project', resourceId: id, changes });
      return ProjectView.from({ project: after, keys });
    });
  }

  /**
   * Deletes a project in which every key is revoked. @throws DomainError 404; 409 PROJECT_IN_USE; 412 VERSION_MISMATCH
   */
  async delete(caller: KnownCaller, id: string): Promise<void> {
    await this.changes.transaction(caller, async ({ tx, record, write }) => {
      const project = await this.lock(tx, caller, id);
      const keys = await this.projects.in(tx).countKeys(id);
      if (keys > 0) throw projectInUse(keys);
      write(this.projects.in(tx).delete(id));
      record({ resourceType: 'project', resourceId: id, changes: diff(auditedProject(project), null) });
    });
  }

  /**
   * Keeps the project of a key that is about to get it until the transaction ends.
   *
   * @throws DomainError 400 for a project that does not exist
   */
  async requireExisting(tx: EntityManager, id: string): Promise<void> {
    if (!(await this.projects.in(tx).keep(id))) throw unknownProject();
  }

  private async lock(tx: EntityManager, caller: KnownCaller, id: string): Promise<Project> {
    const project = await this.projects.in(tx).findForUpdate(id);
    if (!project) throw projectNotFound();
    requireVersion(caller, 'project', id, auditedProject(project));
    return project;
  }

  /** A change that gives a name, which may be taken. */
  private named<T>(caller: KnownCaller, work: (change: Change) => Promise<T>): Promise<T> {
    return this.changes.transaction(caller, work).catch((error: unknown) => {
      throw isNameTaken(error) ? projectNameTaken() : error;
    });
  }
}

function isNameTaken(error: unknown): boolean {
  return (
    error instanceof QueryFailedError &&
    (error.driverError as { constraint?: string }).constraint === 'project_name_key'
  );
}
