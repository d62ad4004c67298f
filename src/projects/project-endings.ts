import type { Change } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { auditedProject } from './audited-project.js';
import { Project } from './project.entity.js';
import type { ProjectMember } from './project.view.js';
import { ProjectsRepository } from './projects.repository.js';

/** Switches a project off in the name of the system, if it is there and on. Gives whether it was. */
export async function switchOffProject(
  { tx, record }: Pick<Change, 'tx' | 'record'>,
  id: string,
  details: Readonly<Record<string, unknown>>,
): Promise<boolean> {
  const projects = new ProjectsRepository(tx);
  const before = await projects.findForUpdate(id);
  if (before === null || !before.project.isActive) return false;
  const [row] = await tx.query<{ now: Date }[]>(`SELECT date_trunc('milliseconds', clock_timestamp()) AS now`);
  const project = Object.assign(new Project(), before.project, { isActive: false, updatedAt: row!.now });
  await projects.update(project);
  const changes = diff(auditedProject(before), auditedProject({ ...before, project }));
  record({ action: 'projects:update', resourceType: 'project', resourceId: id, changes, details });
  return true;
}

/** What took access away from or within a project, as far as it is known: the last word of each. */
export interface ProjectNarrowing {
  readonly id: string;
  readonly isOff: boolean;
  /** Its admins at last; null: not known. */
  readonly adminIds: readonly string[] | null;
  /** Its members at last who were no admins; null: not known. */
  readonly memberIds: readonly string[] | null;
}

/**
 * Takes from projects what was taken from them in a history that a restore has lost: members who were removed, admins
 * who were no more, and whether their keys work. It never gives. Returns the number of projects that changed.
 */
export async function narrowProjects(
  { tx, record }: Pick<Change, 'tx' | 'record'>,
  narrowings: readonly ProjectNarrowing[],
): Promise<number> {
  const projects = new ProjectsRepository(tx);
  let changed = 0;
  for (const narrowing of [...narrowings].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const before = await projects.findForUpdate(narrowing.id);
    if (before === null) continue;
    const members = before.members.flatMap((member) => narrowed(member, narrowing) ?? []);
    const [row] = await tx.query<{ now: Date }[]>(`SELECT date_trunc('milliseconds', clock_timestamp()) AS now`);
    const isActive = before.project.isActive && !narrowing.isOff;
    const project = Object.assign(new Project(), before.project, { isActive, updatedAt: row!.now });
    const changes = diff(auditedProject(before), auditedProject({ project, members }));
    if (changes.length === 0) continue;
    await projects.update(project);
    for (const { userId, role } of before.members) {
      const after = members.find((member) => member.userId === userId);
      if (after === undefined) await projects.removeMember(narrowing.id, userId);
      else if (after.role !== role) await projects.setMember(narrowing.id, userId, after.role, row!.now);
    }
    const entry = { resourceType: 'project', resourceId: narrowing.id, details: { by: 'restore' } };
    record({ ...entry, action: 'projects:update', changes });
    changed += 1;
  }
  return changed;
}

/** What a member may stay; null: nothing. */
function narrowed(member: ProjectMember, { adminIds, memberIds }: ProjectNarrowing): ProjectMember | null {
  const { userId, role } = member;
  if (role === 'admin') {
    if (adminIds === null || adminIds.includes(userId)) return member;
    return memberIds?.includes(userId) === true ? { ...member, role: 'member' } : null;
  }
  if (memberIds === null || memberIds.includes(userId)) return member;
  return adminIds?.includes(userId) === true ? member : null;
}
