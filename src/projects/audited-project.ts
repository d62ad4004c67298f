import type { Audited } from '../audit/diff.js';
import { versionOf } from '../common/version.js';
import type { Project } from './project.entity.js';
import type { ProjectRole } from './project-role.js';

/** What a project is, and who its members are. */
export interface ProjectState {
  readonly project: Pick<Project, 'name' | 'alias' | 'description' | 'isActive'>;
  /** In any order. */
  readonly members: readonly { readonly userId: string; readonly role: ProjectRole }[];
}

/** What a project has in a field of which the trail does not tell: the field is younger than its last change. */
export const PROJECT_DEFAULTS: Audited = { alias: null, isActive: true, adminIds: [], memberIds: [] };

/** A project as the audit trail shows it. `memberIds` are those of members who are no admins. */
export function auditedProject({ project, members }: ProjectState): Audited {
  const { name, alias, description, isActive } = project;
  const idsOf = (role: ProjectRole) => members.flatMap((member) => (member.role === role ? member.userId : [])).sort();
  return { name, alias, description, isActive, adminIds: idsOf('admin'), memberIds: idsOf('member') };
}

/**
 * What the version of a project is made of. Members that came later than the first release of projects are left out
 * while they have their default: else the versions of all projects would change with a release.
 */
export function projectSettings(state: ProjectState): Audited {
  const says = ([name, value]: [string, unknown]) =>
    !(name in PROJECT_DEFAULTS) || JSON.stringify(value) !== JSON.stringify(PROJECT_DEFAULTS[name]);
  return Object.fromEntries(Object.entries(auditedProject(state)).filter(says));
}

/** The version of a project. */
export function projectVersion(state: ProjectState): string {
  return versionOf(projectSettings(state));
}
