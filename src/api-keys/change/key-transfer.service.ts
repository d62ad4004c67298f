import { Injectable } from '@nestjs/common';
import { permissionDenied } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { unknownOwner } from '../api-key.errors.js';
import type { ApiKeyView } from '../api-key.view.js';
import { KeyCreationRules } from '../create/key-creation-rules.js';
import { KeyChanges } from './key-changes.js';
import { statusOf } from '../status.js';

const ASSIGN = { permission: 'platform:api-keys:assign' } as const;
/** The new owner can do with the key what this permits, and may be the caller. */
const TAKE = 'platform:api-keys:update';

/** Giving keys to another owner. */
@Injectable()
export class KeyTransferService {
  constructor(
    private readonly changes: KeyChanges,
    private readonly admission: KeyCreationRules,
  ) {}

  /**
   * Makes a key another user's. Another owner's key also needs `platform:api-keys:update`. What it may do then must be
   * covered by what the caller holds, and it must lie inside the caller's key policy as if he made it; an active key
   * counts against the new owner's cap. The secret stays: whoever knew it knows it still, until it is regenerated.
   *
   * @throws DomainError 400 unknown owner; 403 CANNOT_GRANT, OUTSIDE_POLICY, PERMISSION_DENIED; 404;
   *   409 ALIAS_TAKEN, ALREADY_REVOKED; 429 API_KEY_LIMIT_REACHED
   */
  transfer(caller: KnownCaller, id: string, newOwnerId: string): Promise<ApiKeyView> {
    return this.changes.change(
      caller,
      id,
      ASSIGN,
      async (held) => {
        const { key, parties, tx, now } = held;
        if (held.standing !== 'permission') throw permissionDenied(ASSIGN.permission);
        if (!held.isOwn && !held.caller.principal.may(TAKE)) throw permissionDenied(TAKE);
        held.requireNotRevoked();
        const newOwner = parties.others.get(newOwnerId);
        if (newOwner === undefined) throw unknownOwner();
        if (newOwnerId === key.ownerId) return held.view();
        this.admission.requireHeld(held.caller, await this.admission.grantsUnder(tx, newOwner, key.roles));
        this.admission.requireInsidePolicy(parties, key, now);
        if (statusOf(key, now) === 'active') await this.admission.requireRoom(tx, newOwner, key.id);
        held.save({ ...key, ownerId: newOwnerId });
        return held.view();
      },
      [newOwnerId],
    );
  }
}
