import type { Change } from '../audit/changes.js';
import { type Audited, diff } from '../audit/diff.js';
import type { UserWithRoles } from './users.repository.js';

/** A user as the audit trail shows one: every field that can change, named as in the API, never a password. */
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

/** Records that service accounts have lost a manager who is deleted: the links go with the user. */
export function recordLostManager(
  record: Change['record'],
  managed: readonly UserWithRoles[],
  managerId: string,
  details: Readonly<Record<string, unknown>> = {},
): void {
  for (const service of managed) {
    const after = { ...service, managerIds: service.managerIds.filter((id) => id !== managerId) };
    const changes = diff(auditedUser(service), auditedUser(after));
    record({ action: 'users:update', resourceType: 'user', resourceId: service.user.id, changes, details });
  }
}
