import type { BudgetType, Period } from './authority.js';
import { monthEnd } from './period.js';
import type { Sql } from './sql.js';

/** A budget as it stands in the database; amounts are micro-cents. */
export interface BudgetStanding {
  readonly type: BudgetType;
  readonly limit: bigint;
  /** All that was charged, beyond the limit too. */
  readonly spent: bigint;
  /** Reserved, or in the hands of replicas for the next calls. */
  readonly held: bigint;
  /** What can still be granted; never below 0. */
  readonly remaining: bigint;
  readonly periodStart: Date | null;
  readonly periodEnd: Date | null;
}

interface BudgetRow {
  readonly type: BudgetType;
  readonly limit_micro_cents: string;
  readonly month: Period;
  readonly spent: string;
  readonly leased: string;
}

/**
 * The active budget of a key, by the clock of the database, or null: unlimited, or no such key. A month that nobody
 * has used yet has no account and stands at nothing. Takes no lock.
 */
export async function findBudget(sql: Sql, keyId: string): Promise<BudgetStanding | null> {
  const [row] = (await sql(
    `SELECT k.budget_type AS type, k.budget_limit_micro_cents AS limit_micro_cents, quota_month(quota_clock()) AS month,
            coalesce(a.spent_micro_cents, 0) AS spent, coalesce(a.leased_micro_cents, 0) AS leased
       FROM api_key k
       LEFT JOIN budget_account a ON a.key_id = k.id AND a.period = CASE k.budget_type WHEN 'total' THEN 'total' ELSE quota_month(quota_clock()) END
      WHERE k.id = $1 AND k.budget_limit_micro_cents IS NOT NULL`,
    [keyId],
  )) as unknown as BudgetRow[];
  if (row === undefined) return null;
  const [limit, spent, held] = [BigInt(row.limit_micro_cents), BigInt(row.spent), BigInt(row.leased)];
  const left = limit - spent - held;
  const isMonthly = row.type === 'monthly';
  return {
    type: row.type,
    limit,
    spent,
    held,
    remaining: left > 0n ? left : 0n,
    periodStart: isMonthly ? new Date(`${row.month}T00:00:00Z`) : null,
    periodEnd: isMonthly ? new Date(monthEnd(row.month)) : null,
  };
}
