import type { EntityManager } from 'typeorm';
import type { Change } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { auditedLimit } from './audited-limit.js';
import { LIMIT_COLUMNS, limitRowChanged, limitRowOf } from './limit-accounts.js';
import type { LimitTarget } from './limit-facts.js';
import type { LimitRow } from './limit-row.js';

/**
 * Ends the limits on a target that the change deletes, each with an entry of its own: a limit of something that is gone
 * binds no call, would keep its alias, and could not be found by its target. The change has locked the target, so that
 * no limit of it is made meanwhile; limits and their accounts are locked after it.
 */
export async function endLimitsOf(
  { tx, record }: Pick<Change, 'tx' | 'record'>,
  kind: Exclude<LimitTarget, 'installation'>,
  id: string,
  details: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  for (const before of await lockLimitsOf(tx, kind, id)) {
    const [row] = await tx.query<{ now: Date }[]>(`SELECT date_trunc('milliseconds', quota_clock()) AS now`);
    const endedAt = row!.now;
    await tx.query('UPDATE quota_limit SET ended_at = $2, alias = NULL WHERE id = $1', [before.id, endedAt]);
    await limitRowChanged(tx, before, { ...before, endedAt });
    record({
      action: 'limits:delete',
      resourceType: 'limit',
      resourceId: before.id,
      changes: diff(auditedLimit(before), null),
      details: { ...details, deletedWith: kind },
    });
  }
}

async function lockLimitsOf(tx: EntityManager, kind: LimitTarget, id: string): Promise<LimitRow[]> {
  const rows = await tx.query<Parameters<typeof limitRowOf>[0][]>(
    `SELECT ${LIMIT_COLUMNS} FROM quota_limit l
      WHERE l.target_kind = $1 AND l.target_id = $2 AND l.ended_at IS NULL ORDER BY l.id FOR NO KEY UPDATE`,
    [kind, id],
  );
  return rows.map(limitRowOf);
}
