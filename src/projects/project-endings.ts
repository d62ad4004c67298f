import type { Change } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { auditedProject } from './audited-project.js';
import { Project } from './project.entity.js';
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
