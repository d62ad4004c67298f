import { Injectable } from '@nestjs/common';
import { permissionDenied } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { handOverToSelf, noHandOver } from '../api-key.errors.js';
import type { ApiKeyView } from '../api-key.view.js';
import { KeyChanges } from '../change/key-changes.js';
import { requireDrawer } from './drawer.js';
import { NO_HAND_OVER, handOverFrom, openHandOver } from './hand-over.js';

const ASSIGN = { permission: 'platform:api-keys:assign' } as const;

/**
 * Offers the next secret of a key to its owner, and takes an offer back. No secret is made before the owner draws it,
 * so that the caller here never sees one.
 *
 * @see docs/adr/0039-a-secret-is-drawn-by-its-owner.md
 */
@Injectable()
export class HandOverService {
  constructor(private readonly changes: KeyChanges) {}

  /**
   * Offers the next secret to the key's owner for 24 hours; an offer that is open is replaced.
   *
   * @throws DomainError 403 PERMISSION_DENIED; 404; 409 ALREADY_REVOKED, HAND_OVER_TO_SELF, NOBODY_TO_DRAW
   */
  offer(caller: KnownCaller, id: string, overlapSeconds: number): Promise<ApiKeyView> {
    return this.changes.change(caller, id, ASSIGN, async (held) => {
      const { key, now, parties } = held;
      const { ownerId } = held.caller.principal;
      if (held.standing !== 'permission') throw permissionDenied(ASSIGN.permission);
      held.requireNotRevoked();
      if (key.ownerId === ownerId) throw handOverToSelf();
      requireDrawer(parties.owner);
      held.save({ ...key, ...handOverFrom(now, ownerId, overlapSeconds) });
      return held.view();
    });
  }

  /**
   * Ends the open offer; an owner declines it so. It is no act of an admin of the project, who could only destroy what
   * is the owner's.
   *
   * @throws DomainError 403 PERMISSION_DENIED; 404; 409 NO_HAND_OVER
   */
  takeBack(caller: KnownCaller, id: string): Promise<ApiKeyView> {
    return this.changes.change(caller, id, ASSIGN, async (held) => {
      const { key, now } = held;
      if (held.standing !== 'permission' && !held.isOwn) throw permissionDenied(ASSIGN.permission);
      if (openHandOver(key, now) === null) throw noHandOver();
      const reason = held.isOwn ? 'declined' : 'taken back';
      held.save({ ...key, ...NO_HAND_OVER }, { details: { reason } });
      return held.view();
    });
  }
}
