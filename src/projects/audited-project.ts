import type { Audited } from '../audit/diff.js';
import type { Project } from './project.entity.js';

/** A project as the audit trail shows it. */
export function auditedProject({ name, description }: Pick<Project, 'name' | 'description'>): Audited {
  return { name, description };
}
