import { lockAdministration } from '../access/administration-lock.js';
import type { Change, ChangeEntry } from '../audit/changes.js';
import { ERASED_NAME } from '../audit/personal-values.js';
import { diff } from '../audit/diff.js';
import { endMemberships } from '../projects/project-members.service.js';
import { endLimitsOf } from '../quotas/limits/limit-endings.js';
import { auditedUser, recordLostManager } from './audited-user.js';
import { SecondFactorRepository } from './second-factor/second-factor.repository.js';
import { User } from './user.entity.js';
import { UsersRepository } from './users.repository.js';

/** What took access away from a user, as far as it is known: the last word of each. */
export interface UserNarrowing {
  readonly id: string;
  readonly isDeleted: boolean;
  /** The person was erased, and is deleted then. */
  readonly isErased: boolean;
  /** null: not known. */
  readonly isActive: boolean | null;
  /** All roles the user had at last; null: not known. */
  readonly roles: readonly string[] | null;
  /** A second factor was removed, by its person or by another: the one that is there now may be that one. */
  readonly endsSecondFactor: boolean;
  /** Recovery codes were drawn anew: those that are there now were to open nothing any more. */
  readonly endsRecoveryCodes: boolean;
}

/**
 * Takes from users what was taken from them in a history that a restore has lost. It never gives, and does not ask
 * whether an admin remains: `npm run admin:reset` makes one. Returns the number of users that changed.
 */
export async function narrowUsers({ tx, record }: Change, narrowings: readonly UserNarrowing[]): Promise<number> {
  if (narrowings.length === 0) return 0;
  await lockAdministration(tx);
  const users = new UsersRepository(tx);
  let changed = 0;
  for (const narrowing of [...narrowings].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const { id, isDeleted, isActive, roles } = narrowing;
    const [locked] = await tx.query<{ now: Date }[]>(
      `SELECT date_trunc('milliseconds', clock_timestamp()) AS now FROM users WHERE id = $1 AND deleted_at IS NULL FOR UPDATE`,
      [id],
    );
    const before = locked === undefined ? null : await users.findById(id);
    const entry = { resourceType: 'user', resourceId: id, details: { by: 'restore' } } as const;
    if (locked === undefined || before === null) {
      if (narrowing.isErased && (await eraseAgain(users, record, entry))) changed += 1;
      continue;
    }
    if (isDeleted || narrowing.isErased) {
      const managed = await users.findManagedBy(id);
      await endMemberships({ tx, record }, id, entry.details);
      await endLimitsOf({ tx, record }, 'owner', id, entry.details);
      await users.delete(id, locked.now);
      recordLostManager(record, managed, id, entry.details);
      record({ ...entry, action: 'users:delete', changes: diff(auditedUser(before), null) });
      if (narrowing.isErased) await eraseAgain(users, record, entry);
      changed += 1;
      continue;
    }
    if (roles !== null)
      await users.setRoles(
        id,
        before.roles.filter((role) => roles.includes(role)),
      );
    if (isActive === false)
      await users.update(Object.assign(new User(), before.user, { isActive, updatedAt: locked.now }), null);
    const changes = diff(auditedUser(before), auditedUser((await users.findById(id))!));
    if (changes.length > 0) record({ ...entry, action: 'users:update', changes });
    const hasLostFactor = await narrowSecondFactor({ tx, record }, narrowing);
    if (changes.length > 0 || hasLostFactor) changed += 1;
  }
  return changed;
}

/** Whether there was anything to erase: the backup may be younger than the erasure. */
async function eraseAgain(
  users: UsersRepository,
  record: Change['record'],
  entry: Pick<ChangeEntry, 'resourceType' | 'details'> & { readonly resourceId: string },
): Promise<boolean> {
  if (!(await users.erase(entry.resourceId, ERASED_NAME))) return false;
  record({ ...entry, action: 'users:erase' });
  return true;
}

/** The factor of the backup has the old secret, and its recovery codes are the old ones. Whether there were any. */
async function narrowSecondFactor(
  { tx, record }: Pick<Change, 'tx' | 'record'>,
  { id, endsSecondFactor, endsRecoveryCodes }: UserNarrowing,
): Promise<boolean> {
  const factors = new SecondFactorRepository(tx);
  const tell = (action: string, credential: string) =>
    record({ action, resourceType: 'user', resourceId: id, details: { credential, by: 'restore' } });
  if (endsSecondFactor && (await factors.remove(id))) {
    tell('second-factors:delete', 'second-factor');
    return true;
  }
  if (!endsRecoveryCodes || !(await factors.removeRecoveryCodes(id))) return false;
  tell('second-factors:regenerate', 'recovery-codes');
  return true;
}
