import { unauthenticated } from '../access/access.errors.js';
import { Injectable } from '@nestjs/common';
import { lockAdministration } from '../access/administration-lock.js';
import type { KnownCaller } from '../access/caller.js';
import type { HolderLock } from '../access/grants.reader.js';
import { KeyOffBoarding } from '../api-keys/change/key-off-boarding.service.js';
import { type Change, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { inTurn } from '../common/in-turn.js';
import { validationFailed } from '../common/domain-error.js';
import { requireVersion } from '../common/version.js';
import { endMemberships } from '../projects/project-members.service.js';
import { endLimitsOf } from '../quotas/limits/limit-endings.js';
import type { EntityManager } from 'typeorm';
import { auditedUser, recordLostManager } from './audited-user.js';
import { Sessions } from './sessions.service.js';
import { type LockedUsers, UserChangeRules } from './user-change-rules.js';
import type { DeleteUserQueryDto } from './user.dto.js';
import { ownerHasKeys, userNotFound } from './user.errors.js';
import { UsersRepository } from './users.repository.js';

/**
 * Deleting users. Keys go first, a batch a transaction, the user with the last batch: whatever stops it in the middle,
 * the same request goes on from there.
 */
@Injectable()
export class OffBoarding {
  constructor(
    private readonly users: UsersRepository,
    private readonly sessions: Sessions,
    private readonly admission: UserChangeRules,
    private readonly keys: KeyOffBoarding,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /**
   * Deletes a user. The row stays for history; the address is free, the sessions have ended, nobody manages the user
   * or is managed by the user.
   *
   * @throws DomainError 400; 403 PERMISSION_DENIED, CANNOT_GRANT, OUTSIDE_POLICY; 404; 409 OWNER_HAS_KEYS, LAST_ADMIN,
   *   ALIAS_TAKEN; 429 API_KEY_LIMIT_REACHED. Batches that were committed before stay.
   */
  async delete(caller: KnownCaller, id: string, fate: DeleteUserQueryDto): Promise<void> {
    if (fate.keys !== undefined && fate.transferTo !== undefined) {
      throw validationFailed([{ path: 'transferTo', message: 'contradicts keys=revoke' }]);
    }
    if (fate.transferTo === id) throw validationFailed([{ path: 'transferTo', message: 'must be another user' }]);
    let deleted = false;
    while (!deleted) deleted = await this.changes.transaction(caller, (change) => this.step(change, caller, id, fate));
  }

  /**
   * One transaction: the next keys and, with the last of them, the user. Every step asks again whether the caller may.
   */
  private async step(change: Change, caller: KnownCaller, id: string, fate: DeleteUserQueryDto): Promise<boolean> {
    const { tx } = change;
    await lockAdministration(tx);
    const locks = new Map<string, HolderLock>(fate.transferTo === undefined ? [] : [[fate.transferTo, 'update']]);
    const parties = await this.admission.lockParties(tx, caller, 'platform:users:delete', id, locks);
    if (caller.precondition) await this.requireVersion(tx, caller, id);
    if (!(await this.disposeOfKeys(change, caller, parties, fate))) return false;
    await this.remove(change, parties);
    return true;
  }

  private async requireVersion(tx: EntityManager, caller: KnownCaller, id: string): Promise<void> {
    const found = await this.users.in(tx).findById(id);
    requireVersion(caller, 'user', id, found && auditedUser(found));
  }

  private async disposeOfKeys(
    change: Change,
    caller: KnownCaller,
    parties: LockedUsers,
    fate: DeleteUserQueryDto,
  ): Promise<boolean> {
    const { rights, target, holders } = parties;
    const count = await this.keys.count(change.tx, target.id);
    if (fate.transferTo !== undefined) {
      rights.requirePermission('platform:api-keys:assign');
      const to = holders.get(fate.transferTo);
      if (!to?.isActive) throw validationFailed([{ path: 'transferTo', message: 'must be an active user' }]);
      const actor = holders.get(caller.principal.ownerId);
      if (!actor) throw unauthenticated(true);
      return count === 0 || this.keys.transferSome(change, target.id, { caller, rights, actor, to });
    }
    if (count === 0) return true;
    if (fate.keys !== 'revoke') throw ownerHasKeys(count);
    return this.keys.revokeSome(change, target.id);
  }

  private async remove({ tx, record, write, lastly }: Change, { target }: LockedUsers): Promise<void> {
    const users = this.users.in(tx);
    await endMemberships({ tx, record }, target.id);
    const [before, managed] = await inTurn([users.findById(target.id), users.findManagedBy(target.id)]);
    if (!before) throw userNotFound();
    await endLimitsOf({ tx, record }, 'owner', target.id);
    write(this.sessions.in(tx).closeAllOf(target.id));
    await users.delete(target.id, this.clock.now());
    await lastly(this.admission.requireAdminRemains(tx, target));
    recordLostManager(record, managed, target.id);
    // Also as a part of an erasure.
    record({
      action: 'users:delete',
      resourceType: 'user',
      resourceId: target.id,
      changes: diff(auditedUser(before), null),
    });
  }
}
