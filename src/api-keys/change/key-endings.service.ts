import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Change } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { Clock } from '../../common/clock.js';
import type { ApiKey } from '../api-key.entity.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import { NO_HAND_OVER } from '../hand-over/hand-over.js';
import { auditedKey } from './audited-key.js';

/** What the trail says about an ending beside what differs. */
type Details = Readonly<Record<string, unknown>>;

/**
 * Ends keys and secrets in the name of the system, where no caller asks for it. Each is idempotent and tells whether it
 * has ended anything.
 */
@Injectable()
export class KeyEndings {
  constructor(
    private readonly keys: ApiKeysRepository,
    private readonly clock: Clock,
  ) {}

  /** Revokes a key, if it is there and not revoked. */
  async revoke({ tx, record }: Change, id: string, reason: string, details: Details): Promise<boolean> {
    const key = await this.findLive(tx, id);
    if (key === null) return false;
    const now = this.clock.now();
    const after = { ...key, ...NO_HAND_OVER, revokedAt: now, revokedReason: reason, updatedAt: now };
    await this.keys.in(tx).update(after);
    const changes = diff(auditedKey(key), auditedKey(after));
    record({ action: 'api-keys:revoke', resourceType: 'api-key', resourceId: id, changes, details });
    return true;
  }

  /** Deactivates a key that is active. */
  async switchOff({ tx, record }: Change, id: string, details: Details): Promise<boolean> {
    const key = await this.findLive(tx, id);
    if (key === null || !key.isActive) return false;
    const now = this.clock.now();
    const after = { ...key, isActive: false, deactivatedAt: now, deactivatedBy: null, updatedAt: now };
    await this.keys.in(tx).update(after);
    const changes = diff(auditedKey(key), auditedKey(after));
    record({ action: 'api-keys:deactivate', resourceType: 'api-key', resourceId: id, changes, details });
    return true;
  }

  /** Ends one secret of a key, if it works. */
  async endSecret({ tx, record }: Change, id: string, kid: string, details: Details): Promise<boolean> {
    const key = await this.findLive(tx, id);
    if (key === null) return false;
    const keys = this.keys.in(tx);
    const now = this.clock.now();
    const live = await keys.findLiveSecrets(id, now);
    if (!live.some((secret) => secret.kid === kid)) return false;
    await keys.revokeSecrets([kid], now);
    await keys.update({ ...key, updatedAt: now });
    record({
      action: 'api-key-secrets:delete',
      resourceType: 'api-key',
      resourceId: id,
      details: { ...details, endedKids: [kid] },
    });
    return true;
  }

  /** Lets a secret work until `at` and no longer, or ends it where that has passed; if it would work longer. */
  async expireSecret(change: Change, id: string, kid: string, at: Date, details: Details): Promise<boolean> {
    const now = this.clock.now();
    if (at <= now) return this.endSecret(change, id, kid, details);
    const key = await this.findLive(change.tx, id);
    if (key === null) return false;
    const keys = this.keys.in(change.tx);
    const secret = (await keys.findLiveSecrets(id, now)).find((one) => one.kid === kid);
    if (secret === undefined || (secret.expiresAt !== null && secret.expiresAt <= at)) return false;
    await keys.expireSecret(kid, at);
    await keys.update({ ...key, updatedAt: now });
    change.record({
      action: 'api-keys:update',
      resourceType: 'api-key',
      resourceId: id,
      // As a regeneration writes them: another failover, or a restore, finds them there.
      details: { ...details, previousKid: kid, previousSecretExpiresAt: at },
    });
    return true;
  }

  private async findLive(tx: EntityManager, id: string): Promise<ApiKey | null> {
    const key = await this.keys.in(tx).findForUpdate(id);
    return key === null || key.revokedAt !== null ? null : key;
  }
}
