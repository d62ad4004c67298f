import type { BudgetType, Period } from './quota-store.js';
import { monthEnd } from './period.js';
import type { UnusedLease } from './lease.js';
import type { Sql } from './sql.js';

/** A budget as it stands in the database; amounts are micro-cents. */
export interface BudgetStanding {
  readonly type: BudgetType;
  /** What holds now: with `raise`. */
  readonly limit: bigint;
  /** The part of the limit that is there until a raise of the key ends; 0: none runs. */
  readonly raise: bigint;
  /** When it ends; null: none runs. */
  readonly raiseUntil: Date | null;
  /** All that was charged, beyond the limit too. */
  readonly spent: bigint;
  /** The part of it that was spent before an import, whenever that was. */
  readonly carried: bigint;
  /** Reserved; also what other replicas have in hand for the next calls, which is for a second after a call. */
  readonly held: bigint;
  /** What this replica has in hand for the next calls. */
  readonly setAside: bigint;
  /** What can still be granted; never below 0. */
  readonly remaining: bigint;
  readonly periodStart: Date | null;
  readonly periodEnd: Date | null;
}

interface BudgetRow {
  readonly type: BudgetType;
  readonly limit_micro_cents: string;
  readonly raise: string | null;
  readonly raise_until: Date | null;
  readonly month: Period;
  readonly spent: string;
  readonly carried: string;
  readonly leased: string;
  readonly unused: string;
}

/**
 * The active budget of a key, by the clock of the database, or null: unlimited, or no such key. A month that nobody
 * has used yet has no account and stands at nothing. Takes no lock.
 *
 * @param unused what no reservation holds of the leases in this replica's memory
 */
export async function findBudget(
  sql: Sql,
  keyId: string,
  unused: readonly UnusedLease[],
): Promise<BudgetStanding | null> {
  const [row] = (await sql(
    `SELECT k.budget_type AS type, k.budget_limit_micro_cents AS limit_micro_cents, quota_month(quota_clock()) AS month,
            r.raise, r.raise_until,
            coalesce(a.spent_micro_cents, 0) AS spent, coalesce(a.carried_micro_cents, 0) AS carried,
            coalesce(a.leased_micro_cents, 0) AS leased,
            coalesce((SELECT sum(least(u.amount, l.granted_micro_cents - l.settled_micro_cents))
                        FROM unnest($2::uuid[], $3::bigint[]) AS u(id, amount)
                        JOIN budget_lease l ON l.id = u.id AND l.key_id = a.key_id AND l.period = a.period), 0) AS unused
       FROM api_key k
       LEFT JOIN LATERAL (SELECT quota_raise(k.budget_raise) AS raise, (k.budget_raise->>'until')::timestamptz AS raise_until) r
         ON r.raise_until > quota_clock()
       LEFT JOIN budget_account a ON a.key_id = k.id AND a.period = CASE k.budget_type WHEN 'total' THEN 'total' ELSE quota_month(quota_clock()) END
      WHERE k.id = $1 AND k.budget_limit_micro_cents IS NOT NULL`,
    [keyId, unused.map(({ leaseId }) => leaseId), unused.map(({ amount }) => amount.toString())],
  )) as unknown as BudgetRow[];
  if (row === undefined) return null;
  const [raise, spent, setAside] = [BigInt(row.raise ?? 0), BigInt(row.spent), BigInt(row.unused)];
  const limit = BigInt(row.limit_micro_cents) + raise;
  const held = BigInt(row.leased) - setAside;
  const left = limit - spent - held;
  const isMonthly = row.type === 'monthly';
  return {
    type: row.type,
    limit,
    raise,
    raiseUntil: row.raise_until,
    spent,
    carried: BigInt(row.carried),
    held,
    setAside,
    remaining: left > 0n ? left : 0n,
    periodStart: isMonthly ? new Date(`${row.month}T00:00:00Z`) : null,
    periodEnd: isMonthly ? new Date(monthEnd(row.month)) : null,
  };
}
