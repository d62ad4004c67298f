import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { KnownCaller, Principal } from '../access/caller.js';
import { EffectiveRights } from '../access/effective-rights.js';
import { GrantsReader, type UserGrants } from '../access/grants.reader.js';
import type { Permission } from '../access/permissions.js';
import { type Change, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { auditedProject } from './audited-project.js';
import { noPerson, projectFull, projectMemberNotFound } from './project.errors.js';
import { MAX_PROJECT_MEMBERS, type ProjectRole, isAtLeast } from './project-role.js';
import {
  type FoundProject,
  type LockedProject,
  type ProjectMember,
  ProjectView,
  type RemovedProjectMemberView,
} from './project.view.js';
import { ProjectsRepository } from './projects.repository.js';
import { ProjectsService } from './projects.service.js';

const UPDATE = 'platform:projects:update';

/**
 * What a role in a project gives, as permissions over its keys. A caller who is no admin of the project must hold them:
 * nobody can grant permissions they lack.
 */
const GIVES: Readonly<Record<ProjectRole, readonly Permission[]>> = {
  member: ['platform:api-keys:read', 'platform:api-keys:assign'],
  admin: ['platform:api-keys:read', 'platform:api-keys:assign', 'platform:api-keys:update', 'platform:api-keys:delete'],
};

/** Who belongs to which project. */
@Injectable()
export class ProjectMembers {
  constructor(
    private readonly repository: ProjectsRepository,
    private readonly projects: ProjectsService,
    private readonly grants: GrantsReader,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /** What a caller is in a project at this moment; null: no member. Keys are members of nothing. */
  async roleOf({ signedInUserId }: Principal, projectId: string): Promise<ProjectRole | null> {
    return signedInUserId === null ? null : this.repository.findRole(projectId, signedInUserId);
  }

  /** What a caller is in which projects, by their ids. None of it ends until the transaction does. */
  async lockRoles(tx: EntityManager, { signedInUserId }: Principal): Promise<ReadonlyMap<string, ProjectRole>> {
    return signedInUserId === null ? NO_ROLES : this.repository.in(tx).lockRoles(signedInUserId);
  }

  /** The projects of a user, in order of name. */
  async membershipsOf(userId: string): Promise<{ id: string; name: string; role: ProjectRole }[]> {
    return this.repository.findMemberships(userId);
  }

  /**
   * Makes a person a member, or a member something else. Who may do nothing can still be given less.
   *
   * @throws DomainError 400 for what is no person that is active and is to come, or to get more;
   *   403 PERMISSION_DENIED, CANNOT_GRANT; 404; 409 PROJECT_FULL; 412 VERSION_MISMATCH
   */
  async set(caller: KnownCaller, id: string, userId: string, role: ProjectRole): Promise<ProjectView> {
    const keys = await this.projects.countKeys(id);
    return this.changes.transaction(caller, async (change) => {
      const { rights, holders } = await this.lockUsers(change.tx, caller, userId);
      const before = await this.projects.lock(change.tx, caller, id);
      if (!isAdmin(before, caller.principal)) {
        rights.requirePermission(UPDATE);
        rights.requireHolding(GIVES[role]);
      }
      const known = before.members.find((member) => member.userId === userId);
      const user = holders.get(userId);
      if (user?.kind !== 'person' || !(user.isActive || isAtLeast(known?.role ?? null, role))) throw noPerson();
      const others = before.members.filter((member) => member !== known);
      if (others.length >= MAX_PROJECT_MEMBERS) throw projectFull();
      const now = this.clock.now();
      const member = { userId, name: user.name, role, addedAt: known?.addedAt ?? now };
      change.write(this.repository.in(change.tx).setMember(id, userId, role, now));
      return this.changed(change, caller, { ...before, keys }, [...others, member].sort(byName));
    });
  }

  /**
   * Ends a membership. Members may end their own.
   *
   * @throws DomainError 403 PERMISSION_DENIED; 404; 412 VERSION_MISMATCH
   */
  async remove(caller: KnownCaller, id: string, userId: string): Promise<RemovedProjectMemberView> {
    const keys = await this.projects.countKeys(id);
    return this.changes.transaction(caller, async (change) => {
      const { rights } = await this.lockUsers(change.tx, caller, userId);
      const before = await this.projects.lock(change.tx, caller, id);
      const isOwn = caller.principal.signedInUserId === userId;
      if (!isOwn && !isAdmin(before, caller.principal)) rights.requirePermission(UPDATE);
      const others = before.members.filter((member) => member.userId !== userId);
      if (others.length === before.members.length) throw projectMemberNotFound();
      const repository = this.repository.in(change.tx);
      const keysLeft = await repository.countKeysOf(id, userId);
      change.write(repository.removeMember(id, userId));
      return { project: this.changed(change, caller, { ...before, keys }, others), keysLeft };
    });
  }

  /** Ends all memberships of a user who is deleted, each with an entry of its own. The user is locked by the change. */
  removeFromAll(change: Pick<Change, 'tx' | 'record'>, userId: string, details: object = {}): Promise<void> {
    return endMemberships(change, userId, details);
  }

  private changed(
    { record }: Change,
    { principal }: KnownCaller,
    before: FoundProject,
    members: readonly ProjectMember[],
  ): ProjectView {
    const after = { ...before, members };
    const changes = diff(auditedProject(before), auditedProject(after));
    if (changes.length > 0) record({ resourceType: 'project', resourceId: before.project.id, changes });
    return ProjectView.from(after, principal.signedInUserId);
  }

  /** The caller, and the user who is to come or go. */
  private lockUsers(
    tx: EntityManager,
    { principal }: KnownCaller,
    userId: string,
  ): Promise<{ rights: EffectiveRights; holders: ReadonlyMap<string, UserGrants> }> {
    const reader = this.grants.in(tx);
    const lock = reader.holders(new Map([principal.ownerId, userId].map((id) => [id, 'share' as const])));
    return EffectiveRights.locked(principal, reader, lock);
  }
}

const NO_ROLES: ReadonlyMap<string, ProjectRole> = new Map();

/** Ends all memberships of a user, each with an entry of its own. @see ProjectMembers.removeFromAll */
export async function endMemberships(
  { tx, record }: Pick<Change, 'tx' | 'record'>,
  userId: string,
  details: object = {},
): Promise<void> {
  const repository = new ProjectsRepository(tx);
  // Nobody makes the locked user a member meanwhile; the project is locked before the membership, as everywhere.
  for (const id of await repository.findProjectsOf(userId)) {
    const before = await repository.findForUpdate(id);
    if (before === null) continue;
    const after = { ...before, members: before.members.filter((member) => member.userId !== userId) };
    if (after.members.length === before.members.length) continue;
    await repository.removeMember(id, userId);
    const changes = diff(auditedProject(before), auditedProject(after));
    if (changes.length > 0)
      record({ action: 'projects:update', resourceType: 'project', resourceId: id, changes, details: { ...details } });
  }
}

function isAdmin({ members }: LockedProject, { signedInUserId }: Principal): boolean {
  return members.some(({ userId, role }) => userId === signedInUserId && role === 'admin');
}

function byName(one: ProjectMember, other: ProjectMember): number {
  const [left, right] = [one.name.toLowerCase(), other.name.toLowerCase()];
  return left < right ? -1 : left > right ? 1 : one.userId < other.userId ? -1 : 1;
}
