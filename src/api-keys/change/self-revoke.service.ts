import { Injectable } from '@nestjs/common';
import { KeyAuthenticator, type ProvenSecret } from '../../access/authenticator.js';
import type { Caller } from '../../access/caller.js';
import { Changes } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { Clock } from '../../common/clock.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import { NO_HAND_OVER } from '../hand-over/hand-over.js';
import { auditedKey } from './audited-key.js';

const REASON = 'Revoked by presenting the key itself';

/** Killing a leaked key with nothing but the key. */
@Injectable()
export class SelfRevokeService {
  constructor(
    private readonly authenticator: KeyAuthenticator,
    private readonly keys: ApiKeysRepository,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /**
   * Ends the secret that `presented` is, and with its last secret the key. Whatever else is presented does nothing;
   * nothing tells which it was. A key that is inactive or expired is ended too, or it could come back to life with
   * its secret known.
   */
  async revoke(caller: Caller, presented: unknown): Promise<void> {
    if (typeof presented !== 'string') return;
    const proven = await this.authenticator.prove(presented);
    if (proven !== null) await this.end(caller, proven);
  }

  private async end(caller: Caller, { keyId, kid }: ProvenSecret): Promise<void> {
    await this.changes.transaction(caller, async ({ tx, record, write }) => {
      const keys = this.keys.in(tx);
      const key = await keys.findForUpdate(keyId);
      if (key === null || key.revokedAt !== null) return;
      const now = this.clock.now();
      const live = await keys.findLiveSecrets(keyId, now);
      if (!live.some((secret) => secret.kid === kid)) return;
      const entry = { resourceType: 'api-key', resourceId: keyId, details: { kid, bySecret: true } };
      if (live.length > 1) {
        write(keys.revokeSecrets([kid], now));
        write(keys.update({ ...key, updatedAt: now }));
        record({ ...entry, action: 'api-key-secrets:delete' });
        return;
      }
      const after = { ...key, ...NO_HAND_OVER, revokedAt: now, revokedReason: REASON, updatedAt: now };
      write(keys.update(after));
      record({ ...entry, changes: diff(auditedKey(key), auditedKey(after)) });
    });
  }
}
