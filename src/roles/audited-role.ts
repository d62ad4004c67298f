import type { Audited } from '../audit/diff.js';
import type { Role } from './role.entity.js';

/** A role as the audit trail shows it. */
export function auditedRole(role: Pick<Role, 'description' | 'permissions' | 'keyPolicy' | 'isActive'>): Audited {
  return {
    description: role.description,
    permissions: role.permissions,
    keyPolicy: role.keyPolicy,
    isActive: role.isActive,
  };
}
