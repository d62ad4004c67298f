import { Injectable } from '@nestjs/common';
import { lockAdministration } from '../access/administration-lock.js';
import { OWNER_DEACTIVATED, endHandOvers } from '../api-keys/hand-over/hand-over-endings.js';
import type { Change } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { auditedUser } from './audited-user.js';
import { SecondFactorRepository } from './second-factor/second-factor.repository.js';
import { Sessions } from './sessions.service.js';
import { UserChangeRules } from './user-change-rules.js';
import { UsersRepository } from './users.repository.js';

/** Takes from users what they had, in the name of the system, where no caller asks for it. */
@Injectable()
export class UserEndings {
  constructor(
    private readonly users: UsersRepository,
    private readonly admission: UserChangeRules,
    private readonly sessions: Sessions,
    private readonly factors: SecondFactorRepository,
    private readonly clock: Clock,
  ) {}

  /**
   * Switches users off and ends their sessions, in order of their ids; with each goes what the trail says about it.
   * Left alone are those that are inactive already, and the last admin. Gives how many were deactivated.
   */
  async switchOff(
    change: Change,
    detailsById: ReadonlyMap<string, Readonly<Record<string, unknown>>>,
  ): Promise<number> {
    if (detailsById.size === 0) return 0;
    await lockAdministration(change.tx);
    const ids = [...detailsById.keys()].sort();
    await change.tx.query('SELECT 1 FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE', [ids]);
    let switched = 0;
    for (const id of ids) switched += (await this.switchOne(change, id, detailsById.get(id)!)) ? 1 : 0;
    return switched;
  }

  /** Ends the sessions of a user that were open at `at`; later ones stay. Gives whether there were any. */
  async endSessions(
    { tx, record }: Change,
    id: string,
    at: Date,
    details: Readonly<Record<string, unknown>>,
  ): Promise<boolean> {
    // A sign-in locks the user as well.
    await tx.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [id]);
    const ended = await this.sessions.in(tx).closeOpenedUpTo(id, at);
    if (ended === 0) return false;
    record({
      action: 'sessions:revoke',
      resourceType: 'user',
      resourceId: id,
      details: { ...details, sessions: ended },
    });
    return true;
  }

  /** Removes a user's second factor and its recovery codes. Gives whether there was one. */
  async removeSecondFactor(
    { tx, record }: Change,
    id: string,
    details: Readonly<Record<string, unknown>>,
  ): Promise<boolean> {
    await tx.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [id]);
    if (!(await this.factors.in(tx).remove(id))) return false;
    const told = { ...details, credential: 'second-factor' };
    record({ action: 'second-factors:delete', resourceType: 'user', resourceId: id, details: told });
    return true;
  }

  private async switchOne(change: Change, id: string, details: Readonly<Record<string, unknown>>): Promise<boolean> {
    const { tx, record } = change;
    const users = this.users.in(tx);
    const before = await users.findById(id);
    if (before === null || !before.user.isActive) return false;
    const after = { ...before, user: { ...before.user, isActive: false, updatedAt: this.clock.now() } };
    await users.update(after.user, null);
    if (before.roles.includes('admin') && !(await this.admission.adminRemains(tx))) {
      await users.update(before.user, null);
      return false;
    }
    await endHandOvers(change, { kind: 'owner', ownerId: id }, OWNER_DEACTIVATED);
    // As when a caller deactivates a user: who is activated again signs in again.
    const sessions = await this.sessions.in(tx).closeAllOf(id);
    const changes = diff(auditedUser(before), auditedUser(after));
    const told = sessions === 0 ? details : { ...details, sessions };
    record({ action: 'users:update', resourceType: 'user', resourceId: id, changes, details: told });
    return true;
  }
}
