import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../../access/caller.js';
import type { Change } from '../../audit/changes.js';
import { Clock } from '../../common/clock.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import { idempotencyConflict } from '../idempotency/idempotency.js';
import { KeyCreationRules } from '../create/key-creation-rules.js';

/** An answer that shows a secret and is asked for again. */
export interface ShownSecret {
  readonly keyId: string;
  readonly kid: string;
  /** Whose key it was when the answer was first given. */
  readonly ownerId: string;
}

/** Whether a secret may be shown a second time, to a caller who may be another credential of the same principal. */
@Injectable()
export class SecretReplay {
  constructor(
    private readonly keys: ApiKeysRepository,
    private readonly admission: KeyCreationRules,
    private readonly clock: Clock,
  ) {}

  /**
   * Passes when the secret is the key's newest and works, the key is still the same owner's, and the caller is that
   * owner, or could make the key as it is now: they hold all it may do, and it lies inside of their key policy. The
   * trail says that it was shown again.
   *
   * @throws DomainError 403 CANNOT_GRANT, OUTSIDE_POLICY; 409 IDEMPOTENCY_CONFLICT
   */
  async require(change: Change, caller: KnownCaller, shown: ShownSecret): Promise<void> {
    const { tx, record } = change;
    const parties = await this.admission.lockParties(tx, caller, shown.ownerId);
    const key = await this.keys.in(tx).findForUpdate(shown.keyId);
    if (key === null || key.revokedAt !== null || key.ownerId !== shown.ownerId || parties.owner === null)
      throw idempotencyConflict();
    const [newest] = await this.keys.in(tx).findLiveSecrets(key.id, this.clock.now());
    if (newest?.kid !== shown.kid || newest.expiresAt !== null) throw idempotencyConflict();
    const { signedInUserId } = parties.caller.principal;
    if (signedInUserId !== key.ownerId && !parties.owner.managerIds.includes(signedInUserId ?? '')) {
      this.admission.requireInsidePolicy(parties, key, this.clock.now());
      this.admission.requireHeld(parties.caller, await this.admission.grantsUnder(tx, parties.owner, key.roles));
    }
    record({ resourceType: 'api-key', resourceId: key.id, details: { kid: shown.kid, isReplay: true } });
  }
}
