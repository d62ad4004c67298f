import { randomUUID } from 'node:crypto';
import { limitAccountId } from '../../src/quotas/limits/account-id.js';
import type { LimitRow } from '../../src/quotas/limits/limit-row.js';
import type { Account } from '../../src/quotas/quota-store.js';

type Query = (sql: string, values: unknown[]) => Promise<unknown>;

/** Writes a limit past its routes: of all keys, for good, in UTC, unless it says otherwise. */
export async function insertLimit(
  query: Query,
  draft: Partial<LimitRow> & Pick<LimitRow, 'amount'>,
): Promise<LimitRow> {
  const now = new Date();
  const row: LimitRow = {
    ...{ id: randomUUID(), name: 'limit', alias: null, description: '', unit: 'cents', per: 'total', timeZone: 'UTC' },
    ...{ targetKind: 'installation', targetId: null, each: null, models: [], mode: 'enforce' },
    ...{ countsFrom: now, endedAt: null, createdAt: now, updatedAt: now },
    ...draft,
  };
  await query(
    `INSERT INTO quota_limit (id, name, unit, per, amount, time_zone, target_kind, target_id, each, models, mode, counts_from, ended_at,
       created_at, updated_at)
     VALUES ($1, $2, $13, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $11, $11)`,
    [
      ...[row.id, row.name, row.per, row.amount.toString(), row.timeZone, row.targetKind, row.targetId, row.each],
      ...[row.models, row.mode, row.countsFrom, row.endedAt, row.unit],
    ],
  );
  return row;
}

/** The account of a limit, or of one of its members. */
export function accountOfLimit({ id, unit, per }: LimitRow, member: string | null = null): Account {
  const type = per === 'total' || per === null ? 'total' : 'monthly';
  return { id: limitAccountId(id, member), type, limit: { id, member, ...(unit === 'cents' ? {} : { unit }) } };
}
