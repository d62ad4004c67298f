import { Injectable } from '@nestjs/common';
import { containsAll } from '../../access/permission-grammar.js';
import { inTurn } from '../../common/in-turn.js';
import { deactivatedByOther, ownerMayOnlyTighten } from '../api-key.errors.js';
import type { LockedKey } from './locked-key.js';
import { KeyCreationRules } from '../create/key-creation-rules.js';
import type { KeyState } from '../settings/settings.js';
import { statusOf } from '../status.js';
import { loosenedFields } from '../settings/owner-limits.js';

/**
 * Whether a key that exists may become what a change makes of it: asked by every door (update, activate, renew, create
 * by alias), so that what one refuses no other lets through.
 */
@Injectable()
export class KeyChangeRules {
  constructor(private readonly admission: KeyCreationRules) {}

  /**
   * @param isRenewal the expiry follows from the key's own window, which an owner may start anew
   * @throws DomainError 400 roles that do not exist; 403 OWNER_MAY_ONLY_TIGHTEN, CANNOT_GRANT, OUTSIDE_POLICY;
   *   409 ALREADY_REVOKED, DEACTIVATED_BY_OTHER; 429 API_KEY_LIMIT_REACHED
   */
  async admit(held: LockedKey, after: KeyState, { isRenewal = false } = {}): Promise<void> {
    held.requireNotRevoked();
    if (held.standing !== 'permission') requireOwnersRight(held, after, isRenewal);
    if (after.verifiesEnvironment !== held.key.verifiesEnvironment)
      this.admission.requireEnvironment(held.caller, after);
    await inTurn([
      this.requireGrants(held, after).then(() =>
        this.admission.requireInsidePolicy(held.parties, after, held.now, held.key),
      ),
      becomesActive(held, after) ? this.admission.requireRoom(held.tx, held.parties.owner, after.id) : null,
    ]);
  }

  /** Who gives a key more than it may do must hold that; who revives a key of another must hold all it may do. */
  private async requireGrants(held: LockedKey, after: KeyState): Promise<void> {
    const { key, tx, caller, parties } = held;
    const added = after.roles.filter((role) => !key.roles.includes(role));
    const isForeignRevival = !held.isOwn && revives(key, after);
    if (added.length === 0 && !isForeignRevival) return;
    const grantsOf = (roles: readonly string[]) => this.admission.grantsUnder(tx, parties.owner, roles);
    const [, before, then] = await inTurn([
      this.admission.requireKnownRoles(tx, added),
      grantsOf(key.roles),
      grantsOf(after.roles),
    ]);
    const gained = added.length === 0 ? [] : then.filter((grant) => !containsAll(before, [grant]));
    this.admission.requireHeld(caller, gained);
    if (isForeignRevival) this.admission.requireHeld(caller, then);
  }
}

function requireOwnersRight(held: LockedKey, after: KeyState, isRenewal: boolean): void {
  const loosened = loosenedFields(held.key, after).filter((path) => !(isRenewal && path === 'expiresAt'));
  if (loosened.length > 0) throw ownerMayOnlyTighten(loosened);
  const undoes = !held.key.isActive && after.isActive;
  if (undoes && held.key.deactivatedBy !== held.caller.principal.id) throw deactivatedByOther();
}

/** Whether the key will work where, or as late as, it would not have before. */
function revives(before: KeyState, after: KeyState): boolean {
  const isReactivated = !before.isActive && after.isActive;
  const livesLonger = before.expiresAt !== null && (after.expiresAt === null || after.expiresAt > before.expiresAt);
  return isReactivated || livesLonger;
}

function becomesActive({ key, now }: LockedKey, after: KeyState): boolean {
  return statusOf(key, now) !== 'active' && statusOf(after, now) === 'active';
}
