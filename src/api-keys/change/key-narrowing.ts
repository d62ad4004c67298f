import type { Change } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { ApiKey } from '../api-key.entity.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import { endLimitsOf } from '../../quotas/limits/limit-endings.js';
import { NO_HAND_OVER } from '../hand-over/hand-over.js';
import { auditedKey } from './audited-key.js';

/** What took access away from a key, as far as it is known: the last word of each. */
export interface KeyNarrowing {
  readonly id: string;
  readonly isDeleted: boolean;
  readonly isRevoked: boolean;
  /** null: not known. */
  readonly isActive: boolean | null;
  /** null: it did not change, or no longer ends. */
  readonly expiresAt: Date | null;
  /** As `expiresAt`. */
  readonly maxExpiresAt: Date | null;
  /** Secrets that ended, by kid; at the instant, or null: by now. */
  readonly endedSecrets: ReadonlyMap<string, Date | null>;
}

/**
 * Takes from keys what was taken from them in a history that a restore has lost. It never gives: what is narrower
 * already stays, and a key that is not there is passed over. Each change is an entry of the trail; returns their
 * number.
 */
export async function narrowKeys(
  { tx, record }: Change,
  narrowings: readonly KeyNarrowing[],
  reason: string,
): Promise<number> {
  const keys = new ApiKeysRepository(tx);
  const now = await clockOf(tx);
  let changed = 0;
  for (const narrowing of [...narrowings].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const key = await keys.findForUpdate(narrowing.id);
    if (key === null) continue;
    const entry = { resourceType: 'api-key', resourceId: key.id, details: { by: 'restore' } } as const;
    if (narrowing.isDeleted) {
      await endLimitsOf({ tx, record }, 'key', key.id, entry.details);
      await keys.delete(key.id);
      record({ ...entry, action: 'api-keys:delete', changes: diff(auditedKey(key), null) });
      changed += 1;
      continue;
    }
    const after = narrowed(key, narrowing, now, reason);
    const changes = diff(auditedKey(key), auditedKey(after));
    const endedKids = await endSecrets(tx, key.id, narrowing.endedSecrets, now);
    if (changes.length === 0 && endedKids.length === 0) continue;
    await keys.update({ ...after, updatedAt: now });
    const action = after.revokedAt === key.revokedAt ? 'api-keys:update' : 'api-keys:revoke';
    record({ ...entry, action, changes, ...(endedKids.length === 0 ? {} : { details: { by: 'restore', endedKids } }) });
    changed += 1;
  }
  return changed;
}

function narrowed(
  key: ApiKey,
  { isRevoked, isActive, expiresAt, maxExpiresAt }: KeyNarrowing,
  now: Date,
  reason: string,
): ApiKey {
  const after = Object.assign(new ApiKey(), key);
  if (isRevoked && key.revokedAt === null)
    Object.assign(after, NO_HAND_OVER, { revokedAt: now, revokedReason: reason });
  if (isActive === false && key.isActive)
    Object.assign(after, { isActive: false, deactivatedAt: now, deactivatedBy: null });
  if (isEarlier(expiresAt, key.expiresAt)) after.expiresAt = expiresAt;
  if (isEarlier(maxExpiresAt, key.maxExpiresAt)) after.maxExpiresAt = maxExpiresAt;
  return after;
}

/** Whether `at` is an instant, and earlier than one that null puts off for ever. */
function isEarlier(at: Date | null, than: Date | null): boolean {
  return at !== null && (than === null || at < than);
}

/** Gives the kids whose end moved. */
async function endSecrets(
  tx: Change['tx'],
  keyId: string,
  ended: KeyNarrowing['endedSecrets'],
  now: Date,
): Promise<string[]> {
  const kids = [...ended.keys()];
  if (kids.length === 0) return [];
  const ends = kids.map((kid) => ended.get(kid) ?? null);
  const [rows] = await tx.query<[{ kid: string }[], number]>(
    `UPDATE api_key_secret s
        SET revoked_at = CASE WHEN e.at IS NULL THEN $4 ELSE s.revoked_at END,
            expires_at = CASE WHEN e.at IS NULL THEN s.expires_at ELSE least(s.expires_at, e.at) END
       FROM unnest($2::text[], $3::timestamptz[]) AS e (kid, at)
      WHERE s.key_id = $1 AND s.kid = e.kid AND s.revoked_at IS NULL AND (e.at IS NULL OR s.expires_at IS NULL OR s.expires_at > e.at)
      RETURNING s.kid`,
    [keyId, kids, ends, now],
  );
  return rows.map(({ kid }) => kid).sort();
}

async function clockOf(tx: Change['tx']): Promise<Date> {
  const [row] = await tx.query<{ now: Date }[]>(`SELECT date_trunc('milliseconds', clock_timestamp()) AS now`);
  return row!.now;
}
