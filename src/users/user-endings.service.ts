import { Injectable } from '@nestjs/common';
import { lockAdministration } from '../access/administration-lock.js';
import type { Change } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { auditedUser } from './audited-user.js';
import { Sessions } from './sessions.service.js';
import { UserAdmission } from './user-admission.js';
import { UsersRepository } from './users.repository.js';

/** Switches users off in the name of the system, where no caller asks for it. */
@Injectable()
export class UserEndings {
  constructor(
    private readonly users: UsersRepository,
    private readonly admission: UserAdmission,
    private readonly sessions: Sessions,
    private readonly clock: Clock,
  ) {}

  /**
   * Switches users off, in order of their ids; with each goes what the trail says about it. Left alone are those that
   * are off already, and the last admin. Gives how many were switched off.
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
    record({ action: 'sessions:revoke', resourceType: 'user', resourceId: id, details: { ...details, sessions: ended } });
    return true;
  }

  private async switchOne(
    { tx, record }: Change,
    id: string,
    details: Readonly<Record<string, unknown>>,
  ): Promise<boolean> {
    const users = this.users.in(tx);
    const before = await users.findById(id);
    if (before === null || !before.user.isActive) return false;
    const after = { ...before, user: { ...before.user, isActive: false, updatedAt: this.clock.now() } };
    await users.update(after.user, null);
    if (before.roles.includes('admin') && !(await this.admission.adminRemains(tx))) {
      await users.update(before.user, null);
      return false;
    }
    const changes = diff(auditedUser(before), auditedUser(after));
    record({ action: 'users:update', resourceType: 'user', resourceId: id, changes, details });
    return true;
  }
}
