import type { Change } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { ApiKey } from '../api-key.entity.js';
import { NO_HAND_OVER } from '../hand-over/hand-over.js';
import { auditedKey } from './audited-key.js';

type Written = Pick<Change, 'tx' | 'record' | 'write'>;

/** `NO_HAND_OVER` in SQL: an offer ends with the ownership, and with the key. */
const NO_OFFER = 'hand_over_by = NULL, hand_over_until = NULL, hand_over_overlap_seconds = NULL';

/** Revokes keys that the change has locked, in one statement, each with an entry of its own. */
export function revokeAll({ tx, record, write }: Written, keys: readonly ApiKey[], reason: string, now: Date): void {
  write(
    tx.query(
      `UPDATE api_key SET revoked_at = $2, revoked_reason = $3, updated_at = $2, ${NO_OFFER} WHERE id = ANY($1)`,
      [idsOf(keys), now, reason],
    ),
  );
  recordEach(record, keys, 'api-keys:revoke', { ...NO_HAND_OVER, revokedAt: now, revokedReason: reason });
}

/** Gives keys that the change has locked to another owner or project, as `revokeAll` revokes them. */
export function moveAll(
  { tx, record, write }: Written,
  keys: readonly ApiKey[],
  to: { readonly ownerId: string } | { readonly projectId: string },
  now: Date,
): void {
  const [set, id] = 'ownerId' in to ? [`owner_id = $2, ${NO_OFFER}`, to.ownerId] : ['project_id = $2', to.projectId];
  write(tx.query(`UPDATE api_key SET ${set}, updated_at = $3 WHERE id = ANY($1)`, [idsOf(keys), id, now]));
  recordEach(record, keys, 'api-keys:transfer', 'ownerId' in to ? { ...NO_HAND_OVER, ...to } : to);
}

function recordEach(record: Change['record'], keys: readonly ApiKey[], action: string, change: Partial<ApiKey>): void {
  for (const key of keys) {
    const after = Object.assign(new ApiKey(), key, change);
    const changes = diff(auditedKey(key), auditedKey(after));
    record({ action, resourceType: 'api-key', resourceId: key.id, changes });
  }
}

function idsOf(keys: readonly ApiKey[]): string[] {
  return keys.map(({ id }) => id);
}
