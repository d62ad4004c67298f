import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { permissionDenied } from '../access/access.errors.js';
import type { KnownCaller } from '../access/caller.js';
import { type Change, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { violatedConstraint } from '../common/database-errors.js';
import { DomainError } from '../common/domain-error.js';
import { ListCursors } from '../common/list-cursors.js';
import { pageMeta, pageOf } from '../common/page-query.dto.js';
import { uuidv7 } from '../common/uuid.js';
import { requireVersion } from '../common/version.js';
import { auditedProject, projectSettings } from './audited-project.js';
import type { CreateProjectDto, ListProjectsDto, UpdateProjectDto, UpsertProjectDto } from './project.dto.js';
import { Project } from './project.entity.js';
import { projectAliasTaken, projectNameTaken, projectNotFound, unknownProject } from './project.errors.js';
import {
  type FoundProject,
  ListedProjectView,
  type LockedProject,
  type ProjectsPageView,
  ProjectView,
} from './project.view.js';
import { ProjectsRepository } from './projects.repository.js';

const READ = 'platform:projects:read';
const TAKEN: ReadonlySet<string> = new Set(['PROJECT_ALIAS_TAKEN', 'PROJECT_NAME_TAKEN']);

/** Projects: which there are. Which keys are in one is said by the keys. */
@Injectable()
export class ProjectsService {
  constructor(
    private readonly projects: ProjectsRepository,
    private readonly changes: Changes,
    private readonly clock: Clock,
    private readonly cursors: ListCursors,
  ) {}

  /**
   * A page of projects in order of name: without the permission those of which the caller is a member.
   *
   * @throws DomainError 403 for the projects of another member
   */
  async list({ principal }: KnownCaller, query: ListProjectsDto): Promise<ProjectsPageView> {
    const { signedInUserId } = principal;
    const asked = query.memberId?.toLowerCase() ?? null;
    const seesAll = principal.may(READ);
    if (!seesAll && (signedInUserId === null || (asked !== null && asked !== signedInUserId)))
      throw permissionDenied(READ);
    const memberId = seesAll ? asked : signedInUserId;
    const start = pageOf(query);
    const { size, offset, cursor } = start;
    const search = query.search?.trim();
    const filter = { ids: query.id, memberId, search };
    const list = { list: 'projects', ...(memberId === null ? {} : { memberId }), id: query.id, search };
    const [behind] = cursor === null ? [] : this.cursors.read(list, cursor);
    const [found, count] = await Promise.all([
      this.projects.findPage(offset, size + 1, { behind, ...filter }),
      this.projects.count(filter),
    ]);
    const data = found.slice(0, size).map((project) => ListedProjectView.of(project, signedInUserId));
    const next = found.length > size ? [data.at(-1)!.name] : null;
    return { data, meta: pageMeta(start, count, this.cursors.give(list, next)) };
  }

  /** @throws DomainError 404 */
  async get({ principal }: KnownCaller, id: string): Promise<ProjectView> {
    const found = await this.projects.findById(id);
    if (!found) throw projectNotFound();
    return ProjectView.from(found, principal.signedInUserId);
  }

  /** @throws DomainError 404, also for a project that is not for this caller to know */
  async getByAlias({ principal }: KnownCaller, alias: string): Promise<ProjectView> {
    const { signedInUserId } = principal;
    const found = await this.projects.findByAlias(alias);
    const isMember = found?.members.some(({ userId }) => userId === signedInUserId) ?? false;
    if (!found || !(isMember || principal.may(READ))) throw projectNotFound();
    return ProjectView.from(found, signedInUserId);
  }

  /** @throws DomainError 409 PROJECT_NAME_TAKEN, PROJECT_ALIAS_TAKEN */
  create(caller: KnownCaller, input: CreateProjectDto): Promise<ProjectView> {
    return this.named(caller, async (change) => this.add(change, caller, input));
  }

  /** @throws DomainError 404; 409 PROJECT_NAME_TAKEN, PROJECT_ALIAS_TAKEN; 412 VERSION_MISMATCH */
  async update(caller: KnownCaller, id: string, input: UpdateProjectDto): Promise<ProjectView> {
    const keys = await this.countKeys(id);
    return this.named(caller, async (change) =>
      this.alter(change, caller, { ...(await this.lock(change.tx, caller, id)), keys }, input),
    );
  }

  /**
   * Makes a project of this alias, or changes the one that has it. Of two at once, one creates and the other changes.
   *
   * @throws DomainError 409 PROJECT_NAME_TAKEN; 412 VERSION_MISMATCH
   */
  async put(
    caller: KnownCaller,
    alias: string,
    input: UpsertProjectDto,
  ): Promise<{ isNew: boolean; view: ProjectView }> {
    const attempt = async () => {
      const keys = await this.projects.countKeysOfAlias(alias);
      return this.named(caller, async (change) => {
        const known = await this.projects.in(change.tx).findByAliasForUpdate(alias);
        requireVersion(caller, 'project', known?.project.id ?? null, known && projectSettings(known));
        return known === null
          ? { isNew: true, view: await this.add(change, caller, { ...input, alias }) }
          : { isNew: false, view: await this.alter(change, caller, { ...known, keys }, input) };
      });
    };
    // Another request may have made this very project since this one looked: now it is known.
    return attempt().catch((error: unknown) => {
      if (error instanceof DomainError && TAKEN.has(error.code)) return attempt();
      throw error;
    });
  }

  /**
   * Keeps the project of a key that is about to get it until the transaction ends.
   *
   * @throws DomainError 400 for a project that does not exist
   */
  async requireExisting(tx: EntityManager, id: string): Promise<void> {
    if (!(await this.isThere(tx, id))) throw unknownProject();
  }

  /** Whether there is such a project. It is not deleted until the transaction ends. */
  isThere(tx: EntityManager, id: string): Promise<boolean> {
    return this.projects.in(tx).keep(id);
  }

  /**
   * Keys in a project that are not revoked. They may be very many: an answer shows how many there were before the
   * change, which counts none of them while it holds the project.
   */
  countKeys(id: string): Promise<number> {
    return this.projects.countKeys(id);
  }

  /** @throws DomainError 404; 412 VERSION_MISMATCH where the caller has read another version of it */
  async lock(tx: EntityManager, caller: KnownCaller, id: string): Promise<LockedProject> {
    return known(caller, await this.projects.in(tx).findForUpdate(id));
  }

  /** As `lock`, and no key gets the project until the transaction ends. @throws as `lock` */
  async lockForDeletion(tx: EntityManager, caller: KnownCaller, id: string): Promise<LockedProject> {
    return known(caller, await this.projects.in(tx).findForDeletion(id));
  }

  /** Deletes a project that the change has locked, and in which no key is left that works. */
  remove({ tx, record, write }: Change, found: LockedProject): void {
    write(this.projects.in(tx).delete(found.project.id));
    record({ resourceType: 'project', resourceId: found.project.id, changes: diff(auditedProject(found), null) });
  }

  private add({ tx, record, write }: Change, caller: KnownCaller, input: CreateProjectDto): Promise<ProjectView> {
    const now = this.clock.now();
    const project = Object.assign(new Project(), {
      id: uuidv7(now.getTime()),
      name: input.name.trim(),
      alias: input.alias ?? null,
      description: input.description ?? '',
      isActive: input.isActive ?? true,
      createdAt: now,
      updatedAt: now,
    });
    const found = { project, members: [], keys: 0 };
    write(this.projects.in(tx).insert(project));
    const changes = diff(null, auditedProject(found));
    record({ action: 'projects:create', resourceType: 'project', resourceId: project.id, changes });
    return Promise.resolve(ProjectView.from(found, caller.principal.signedInUserId));
  }

  private alter(
    { tx, record, write }: Change,
    caller: KnownCaller,
    before: FoundProject,
    input: UpdateProjectDto,
  ): Promise<ProjectView> {
    const { project } = before;
    const changed = Object.assign(new Project(), project, {
      name: input.name?.trim() ?? project.name,
      alias: input.alias === undefined ? project.alias : input.alias,
      description: input.description ?? project.description,
      isActive: input.isActive ?? project.isActive,
      updatedAt: this.clock.now(),
    });
    const after = { ...before, project: changed };
    const changes = diff(auditedProject(before), auditedProject(after));
    const { signedInUserId } = caller.principal;
    if (changes.length === 0) return Promise.resolve(ProjectView.from(before, signedInUserId));
    write(this.projects.in(tx).update(changed));
    record({ resourceType: 'project', resourceId: project.id, changes });
    return Promise.resolve(ProjectView.from(after, signedInUserId));
  }

  /** A change that gives a name or an alias, which may be taken. */
  private named<T>(caller: KnownCaller, work: (change: Change) => Promise<T>): Promise<T> {
    return this.changes.transaction(caller, work).catch((error: unknown) => {
      const constraint = violatedConstraint(error);
      if (constraint === 'project_name_key') throw projectNameTaken();
      if (constraint === 'project_alias_key') throw projectAliasTaken();
      throw error;
    });
  }
}

/** @throws DomainError 404; 412 VERSION_MISMATCH */
function known(caller: KnownCaller, found: LockedProject | null): LockedProject {
  if (!found) throw projectNotFound();
  requireVersion(caller, 'project', found.project.id, projectSettings(found));
  return found;
}
