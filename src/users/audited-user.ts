import type { Audited } from '../audit/diff.js';
import type { UserWithRoles } from './users.repository.js';

/** A user as the audit trail shows him: every field that can change, named as in the API, never a password. */
export function auditedUser({ user, roles, managerIds }: Omit<UserWithRoles, 'hasSecondFactor'>): Audited {
  return {
    email: user.email,
    name: user.name,
    kind: user.kind,
    managerIds,
    roles,
    isActive: user.isActive,
    maxActiveKeys: user.maxActiveKeys,
  };
}
