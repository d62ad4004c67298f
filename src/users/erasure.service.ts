import { Injectable } from '@nestjs/common';
import { lockAdministration } from '../access/administration-lock.js';
import type { KnownCaller } from '../access/caller.js';
import { Changes } from '../audit/changes.js';
import { ERASED_NAME } from '../audit/personal-values.js';
import { validationFailed } from '../common/domain-error.js';
import { requireVersion } from '../common/version.js';
import { OffBoarding } from './off-boarding.service.js';
import { UserChangeRules } from './user-change-rules.js';
import type { DeleteUserQueryDto, EraseUserDto } from './user.dto.js';
import { erasureBesideOlderReplicas, erasureOfSelf, notAPerson, userNotFound } from './user.errors.js';
import { UsersRepository } from './users.repository.js';

/**
 * Erasing people: the user is deleted as by `DELETE /users/:id`, and then everything goes that says who the person
 * was. What stays is that there was a person, and what they did.
 */
@Injectable()
export class Erasure {
  constructor(
    private readonly users: UsersRepository,
    private readonly offBoarding: OffBoarding,
    private readonly admission: UserChangeRules,
    private readonly changes: Changes,
  ) {}

  /**
   * Erases a person, deleted ones too: of those the caller must hold what the roles permit that they had at last. Where
   * it was cut off behind the deletion, the same request goes on from there.
   *
   * @throws DomainError 400; 403 PERMISSION_DENIED, CANNOT_GRANT, OUTSIDE_POLICY; 404; 409 NOT_A_PERSON,
   *   ERASURE_OF_SELF, OWNER_HAS_KEYS, LAST_ADMIN, ALIAS_TAKEN; 412 VERSION_MISMATCH; 429 API_KEY_LIMIT_REACHED; 503
   *   beside replicas of an earlier release
   */
  async erase(caller: KnownCaller, id: string, { confirm }: EraseUserDto, fate: DeleteUserQueryDto): Promise<void> {
    const user = await this.users.findErasable(id);
    if (user === null) throw userNotFound();
    if (user.kind !== 'person') throw notAPerson();
    if (user.id === caller.principal.ownerId) throw erasureOfSelf();
    const name = user.email ?? user.name;
    if (confirm.trim().toLowerCase() !== name.toLowerCase())
      throw validationFailed([
        { path: 'confirm', message: `must be the ${user.email === null ? 'name' : 'e-mail address'} of the person` },
      ]);
    const wasDeleted = user.deletedAt !== null;
    if (!wasDeleted) {
      // The entry of the deletion would name the person in plain text, for good.
      if (await this.users.mustBeNamedInTrail()) throw erasureBesideOlderReplicas();
      await this.offBoarding.delete(caller, id, fate);
    }
    await this.changes.transaction(caller, async ({ tx, record }) => {
      await lockAdministration(tx);
      const { rights } = await this.admission.lockRights(tx, caller, 'platform:users:delete');
      if (wasDeleted) {
        await this.admission.requireHoldingAllOfDeleted(tx, rights, id);
        // A version is that of settings, which end with the deletion.
        requireVersion(caller, 'user', id, null);
      }
      // Of two at the same time one finds nobody to erase.
      if (!(await this.users.in(tx).erase(id, ERASED_NAME))) throw userNotFound();
      record({ resourceType: 'user', resourceId: id });
    });
  }
}
