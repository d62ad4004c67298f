import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../../access/caller.js';
import { Changes } from '../../audit/changes.js';
import { validationFailed } from '../../common/domain-error.js';
import { Sessions } from '../sessions.service.js';
import { UserChangeRules } from '../user-change-rules.js';
import { secondFactorNotFound } from './second-factor.errors.js';
import { SecondFactorRepository } from './second-factor.repository.js';

/** The way back in for a person whose phone and recovery codes are lost, by the hand of another person. */
@Injectable()
export class SecondFactorReset {
  constructor(
    private readonly factors: SecondFactorRepository,
    private readonly sessions: Sessions,
    private readonly admission: UserChangeRules,
    private readonly changes: Changes,
  ) {}

  /**
   * Removes another's second factor and ends all sessions of that user. It needs what setting the password needs, since
   * both together are the account. One's own is removed with one's password instead.
   *
   * @throws DomainError 400; 403 PERMISSION_DENIED, CANNOT_GRANT, OUTSIDE_POLICY; 404 USER_NOT_FOUND,
   * SECOND_FACTOR_NOT_FOUND
   */
  async reset(caller: KnownCaller, id: string): Promise<void> {
    if (caller.principal.ownerId === id) {
      throw validationFailed([
        { path: 'id', message: 'is your own: send your password to POST /api/v1/auth/second-factor/remove' },
      ]);
    }
    await this.changes.transaction(caller, async ({ tx, record, write }) => {
      await this.admission.lockParties(tx, caller, 'platform:users:update', id);
      if (!(await this.factors.in(tx).remove(id))) throw secondFactorNotFound();
      write(this.sessions.in(tx).closeAllOf(id));
      record({ resourceType: 'user', resourceId: id, details: { credential: 'second-factor' } });
    });
  }
}
