import type { KeyNarrowing } from '../api-keys/change/key-narrowing.js';
import type { RecordedChange } from '../audit/change-line.js';
import type { ProjectNarrowing } from '../projects/project-endings.js';
import type { UserNarrowing } from '../users/user-narrowing.js';

/** What a lost history took away, each thing once. */
export interface Narrowings {
  readonly keys: readonly KeyNarrowing[];
  readonly users: readonly UserNarrowing[];
  readonly projects: readonly ProjectNarrowing[];
}

/** The last word of `changes`, which come in order, on each key, user and project. */
export function narrowingsOf(changes: readonly RecordedChange[]): Narrowings {
  return {
    keys: byId(changes, 'api-key')
      .map(([id, ofKey]) => keyNarrowing(id, ofKey))
      .filter((key) => key !== null),
    users: byId(changes, 'user')
      .map(([id, ofUser]) => userNarrowing(id, ofUser))
      .filter((user) => user !== null),
    projects: byId(changes, 'project')
      .map(([id, ofProject]) => projectNarrowing(id, ofProject))
      .filter((project) => project !== null),
  };
}

function keyNarrowing(id: string, changes: readonly RecordedChange[]): KeyNarrowing | null {
  const isActive = lastState(changes, 'isActive');
  const expiresAt = lastState(changes, 'expiresAt');
  const maxExpiresAt = lastState(changes, 'maxExpiresAt');
  const narrowing: KeyNarrowing = {
    id,
    isDeleted: changes.some(({ action }) => action === 'api-keys:delete'),
    isRevoked: changes.some(({ state }) => typeof state?.['revokedAt'] === 'string'),
    isActive: typeof isActive === 'boolean' ? isActive : null,
    expiresAt: typeof expiresAt === 'string' ? new Date(expiresAt) : null,
    maxExpiresAt: typeof maxExpiresAt === 'string' ? new Date(maxExpiresAt) : null,
    endedSecrets: new Map(
      changes.flatMap(({ ended }) =>
        Object.entries(ended ?? {}).map(([kid, at]) => [kid, at === null ? null : new Date(at)]),
      ),
    ),
  };
  const { isDeleted, isRevoked, endedSecrets } = narrowing;
  return isDeleted ||
    isRevoked ||
    narrowing.isActive === false ||
    narrowing.expiresAt !== null ||
    narrowing.maxExpiresAt !== null ||
    endedSecrets.size > 0
    ? narrowing
    : null;
}

function userNarrowing(id: string, changes: readonly RecordedChange[]): UserNarrowing | null {
  const isActive = lastState(changes, 'isActive');
  const roles = lastState(changes, 'roles');
  const narrowing: UserNarrowing = {
    id,
    isDeleted: changes.some(({ action }) => action === 'users:delete'),
    isErased: changes.some(({ action }) => action === 'users:erase'),
    isActive: typeof isActive === 'boolean' ? isActive : null,
    roles: Array.isArray(roles) ? roles.map(String) : null,
    endsSecondFactor: changes.some(({ action }) => action === 'second-factors:delete'),
    endsRecoveryCodes: changes.some(({ action }) => action === 'second-factors:regenerate'),
  };
  const { isDeleted, isErased, endsSecondFactor, endsRecoveryCodes } = narrowing;
  return isDeleted ||
    isErased ||
    narrowing.isActive === false ||
    narrowing.roles !== null ||
    endsSecondFactor ||
    endsRecoveryCodes
    ? narrowing
    : null;
}

function projectNarrowing(id: string, changes: readonly RecordedChange[]): ProjectNarrowing | null {
  const isOff = lastState(changes, 'isActive') === false;
  const listed = (field: string): string[] | null => {
    const ids = lastState(changes, field);
    return Array.isArray(ids) ? ids.map(String) : null;
  };
  const narrowing = { id, isOff, adminIds: listed('adminIds'), memberIds: listed('memberIds') };
  return isOff || narrowing.adminIds !== null || narrowing.memberIds !== null ? narrowing : null;
}

function byId(changes: readonly RecordedChange[], type: string): [string, RecordedChange[]][] {
  const found = new Map<string, RecordedChange[]>();
  for (const change of changes) {
    if (change.type !== type || change.id === null) continue;
    const id = change.id.toLowerCase();
    found.set(id, [...(found.get(id) ?? []), change]);
  }
  return [...found];
}

function lastState(changes: readonly RecordedChange[], field: string): unknown {
  return changes.findLast(({ state }) => state?.[field] !== undefined)?.state?.[field];
}
