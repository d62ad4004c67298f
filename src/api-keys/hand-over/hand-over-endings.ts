import type { EntityManager } from 'typeorm';
import type { Change } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { ApiKey } from '../api-key.entity.js';
import { auditedKey } from '../change/audited-key.js';
import { NO_HAND_OVER } from './hand-over.js';

/** Offers ended in one transaction: it holds the change head, and others wait for it. */
export const HAND_OVER_BATCH = 100;

/** Why the offers to an owner end who is deactivated. */
export const OWNER_DEACTIVATED = 'owner deactivated';

/** Which offers end: those whose time is over, those to one owner, who is locked, or all there are. */
export type EndedHandOvers =
  { readonly kind: 'expired' | 'all' } | { readonly kind: 'owner'; readonly ownerId: string };

/**
 * Ends offers, each with an entry of its own that says why; of more than `HAND_OVER_BATCH`, the first. Gives how many.
 * Whether a draw is in time is decided by the clock: this only says in the trail that the time is over.
 */
export async function endHandOvers(
  { tx, record }: Pick<Change, 'tx' | 'record'>,
  which: EndedHandOvers,
  reason: string,
): Promise<number> {
  const keys = await lockOffered(tx, which);
  if (keys.length === 0) return 0;
  await tx.query(
    `UPDATE api_key SET hand_over_by = NULL, hand_over_until = NULL, hand_over_overlap_seconds = NULL,
            updated_at = date_trunc('milliseconds', clock_timestamp())
      WHERE id = ANY($1)`,
    [keys.map(({ id }) => id)],
  );
  for (const key of keys) {
    const changes = diff(auditedKey(key), auditedKey({ ...key, ...NO_HAND_OVER }));
    const entry = { action: 'hand-overs:end', resourceType: 'api-key', resourceId: key.id };
    record({ ...entry, changes, details: { reason } });
  }
  return keys.length;
}

/** What another change holds is left to the next time, unless all of an owner must end now. */
function lockOffered(tx: EntityManager, which: EndedHandOvers): Promise<ApiKey[]> {
  const offered = tx
    .createQueryBuilder(ApiKey, 'k')
    .where('k.handOverUntil IS NOT NULL')
    .orderBy('k.id')
    .setLock('pessimistic_write');
  if (which.kind === 'owner') return offered.andWhere('k.ownerId = :ownerId', { ownerId: which.ownerId }).getMany();
  if (which.kind === 'expired') offered.andWhere('k.handOverUntil <= clock_timestamp()').setOnLocked('skip_locked');
  return offered.limit(HAND_OVER_BATCH).getMany();
}
