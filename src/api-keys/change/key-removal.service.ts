import { Injectable } from '@nestjs/common';
import { permissionDenied } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { ChangePropagation } from '../../audit/change-propagation.js';
import type { LockedKey } from './locked-key.js';
import { KeyChanges } from './key-changes.js';
import type { RevokedApiKeyView } from './key-lifecycle.view.js';

const REVOKE = { permission: 'platform:api-keys:delete', itself: true } as const;
const DELETE = { permission: 'platform:api-keys:delete' } as const;

/** Ending keys: for good, and without a trace but the trail. */
@Injectable()
export class KeyRemovalService {
  constructor(
    private readonly changes: KeyChanges,
    private readonly propagation: ChangePropagation,
  ) {}

  /**
   * Ends a key for good. Of many at once, one succeeds. @throws DomainError 404; 409 ALREADY_REVOKED with `revokedAt`
   */
  revoke(caller: KnownCaller, id: string, reason: string | null): Promise<RevokedApiKeyView> {
    return this.changes.change(caller, id, REVOKE, async (held) => {
      this.end(held, reason);
      return { id, revoked: true, revokedAt: held.now, effectiveWithinMs: this.propagation.effectiveWithinMs };
    });
  }

  /** Revokes a key that a change holds. @throws DomainError 409 ALREADY_REVOKED with `revokedAt` */
  end(held: LockedKey, reason: string | null): void {
    held.requireNotRevoked();
    held.save({ ...held.key, revokedAt: held.now, revokedReason: reason });
  }

  /**
   * Deletes a key and its secrets; usage and trail stay. An owner without the permission may delete what is over:
   * revoked, or past its expiry.
   *
   * @throws DomainError 403 PERMISSION_DENIED for an owner whose key could still be used; 404
   */
  async deletePermanently(caller: KnownCaller, id: string): Promise<void> {
    await this.changes.change(caller, id, DELETE, async (held) => {
      if (held.standing !== 'permission' && !isOver(held)) throw permissionDenied(DELETE.permission);
      await held.delete();
    });
  }
}

function isOver({ key, now }: LockedKey): boolean {
  return key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= now);
}
